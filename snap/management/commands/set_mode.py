"""`manage.py set_mode`: sets a mode by hand, or leaves it to the load monitor again."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from django.utils import timezone, translation

from snap.control.modes import MODES
from snap.models import Mode, ModeChange
from snap.monitor.changes import MAX_MINUTES, MAX_REASON, ModeError, leave_to_monitor, set_mode

NO_REASON = 'Say why, for the history: --reason "doors open, thousands at once".'
ERRORS = {
    "reason": f"--reason must be a line of text of at most {MAX_REASON} characters.",
    "minutes": f"--minutes must be from 1 to {MAX_MINUTES}.",
}
DEFAULT_MINUTES = 30


class Command(BaseCommand):
    help = (
        "Set a mode by hand: on or off for a time, or auto, so that the load monitor decides again."
        " All processes follow within a second. Without arguments, show the modes."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("mode", nargs="?", choices=MODES)
        parser.add_argument("setting", nargs="?", choices=["on", "off", "auto"])
        parser.add_argument("--reason", default="", help="why, for the history")
        parser.add_argument(
            "--minutes", type=int, help=f"how long on or off holds (default: {DEFAULT_MINUTES})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        mode, setting = options["mode"], options["setting"]
        if mode and not setting:
            raise CommandError(f"Say what {mode} mode should be: on, off or auto.")
        if mode and not options["reason"].strip():
            raise CommandError(NO_REASON)
        if setting == "auto" and options["minutes"] is not None:
            raise CommandError("auto has no end: leave --minutes out.")
        try:
            if mode:
                self._set(mode, setting, options["minutes"], options["reason"])
            # Reasons of the load monitor are texts of the catalogues, and the rest is English.
            with translation.override("en"):
                for row in Mode.objects.with_last_change():
                    self.stdout.write(describe(row))
        except ModeError as error:
            raise CommandError(ERRORS[error.code]) from None
        except (OperationalError, InterfaceError):
            raise CommandError(
                "The database does not respond. Processes keep the modes that they know; while it"
                " is away they work at level 3."
            ) from None

    def _set(self, mode: str, setting: str, minutes: int | None, reason: str) -> None:
        if setting != "auto":
            if minutes is None:
                minutes = DEFAULT_MINUTES
            set_mode(mode, is_on=setting == "on", minutes=minutes, reason=reason)
        elif not leave_to_monitor(mode, reason=reason):
            self.stdout.write(f"Nothing has changed: {mode} mode was not set by hand.")


def describe(mode: Mode) -> str:
    """Return a line about a mode: its state, who decided that, until when, and why."""
    return f"{mode.name:<10} {'on' if mode.is_active else 'off':<4} {_decision(mode)}"


def _decision(mode: Mode) -> str:
    if mode.is_set_by_hand and mode.override_until:
        until = timezone.localtime(mode.override_until)
        who = f" by {mode.override_by}" if mode.override_by else ""
        return f"set by hand{who} until {until:%d/%m %H:%M} ({mode.why})"
    if not settings.MONITOR_SECONDS:
        return "not set by hand, and the load monitor is turned off (MONITOR_SECONDS)"
    decided = "decided by the load monitor"
    # A reason of staff, who had set the mode before, is none of the monitor.
    if mode.last_source == ModeChange.Source.MONITOR and mode.why:
        decided += f" ({mode.why})"
    return decided
