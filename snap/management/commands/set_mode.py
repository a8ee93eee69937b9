"""`manage.py set_mode`: sets a mode by hand, or leaves it to the load monitor again."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from snap.control.modes import MODES
from snap.models import Mode
from snap.monitor.changes import MAX_MINUTES, ModeError, leave_to_monitor, set_mode

ERRORS = {
    "reason": 'Say why, for the history: --reason "doors open, thousands at once".',
    "minutes": f"--minutes must be from 1 to {MAX_MINUTES}.",
}


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
        parser.add_argument("--minutes", type=int, default=30, help="how long (default: 30)")

    def handle(self, *args: Any, **options: Any) -> None:
        mode, setting = options["mode"], options["setting"]
        if mode and not setting:
            raise CommandError(f"Say what {mode} mode should be: on, off or auto.")
        try:
            if mode:
                self._set(mode, setting, options["minutes"], options["reason"])
            for row in Mode.objects.with_last_change():
                self.stdout.write(describe(row))
        except ModeError as error:
            raise CommandError(ERRORS[error.code]) from None
        except (OperationalError, InterfaceError):
            raise CommandError(
                "The database does not respond. Processes keep the modes that they know; while it"
                " is away they work at level 3."
            ) from None

    def _set(self, mode: str, setting: str, minutes: int, reason: str) -> None:
        if setting != "auto":
            set_mode(mode, is_on=setting == "on", minutes=minutes, reason=reason)
        elif not leave_to_monitor(mode, reason=reason):
            self.stdout.write("Nothing was set by hand.")


def describe(mode: Mode) -> str:
    """Return a line about a mode: its state, who decided that, until when, and why."""
    parts = [f"{mode.name:<10} {'on' if mode.is_active else 'off':<4}"]
    if mode.is_set_by_hand and mode.override_until:
        until = timezone.localtime(mode.override_until)
        who = f" by {mode.override_by}" if mode.override_by else ""
        parts.append(f"set by hand{who} until {until:%H:%M}")
    else:
        parts.append("decided by the load monitor")
    if mode.why:
        parts.append(f"({mode.why})")
    return " ".join(parts)
