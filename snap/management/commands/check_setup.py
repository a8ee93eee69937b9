"""`manage.py check_setup`: say in sentences what production lacks, and what to do about it."""

import json
import re
import sys
import textwrap
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from inspect import getmodule, getsource
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from snap.setup import SERVERS
from snap.setup.postgresql import NO_DATABASE, UNMIGRATED

WIDTH = 80
# The id of a finding as the source of its check has it.
ID = re.compile(r'"([a-z_]+\.[EWIC]\d+)"')
# Django's warnings that follow from PUBLIC_URL without HTTPS, or from DEBUG. One of ours says that.
CONSEQUENCES = {"security.W004", "security.W008", "security.W012", "security.W016", "security.W018"}


class Command(BaseCommand):
    help = (
        "Check what a production installation lacks: settings, PostgreSQL, Redis, disks, staff and"
        " leftovers of the demo. The exit status is 1 if something is to be mended. Notes do not"
        " count."
    )
    # It runs them itself, and says more than one sentence.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--accept",
            action="append",
            default=[],
            metavar="ID",
            help="leave out a finding that you accept, such as snap.I144; can be repeated",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = find_all(options["accept"])
        to_mend = [each for each in found if each.level >= checks.WARNING]
        notes = [each for each in found if each.level < checks.WARNING]
        if options["json"]:
            report = {"to_mend": list(map(_as_json, to_mend)), "notes": list(map(_as_json, notes))}
            self.stdout.write(json.dumps(report))
        else:
            self._print_report(to_mend, notes)
        if to_mend:
            sys.exit(1)

    def _print_report(self, to_mend: list[CheckMessage], notes: list[CheckMessage]) -> None:
        if to_mend:
            self._print_list(f"To mend ({len(to_mend)})", to_mend, self._style_of)
        if notes:
            self._print_list(f"To consider ({len(notes)})", notes, lambda _: str)
        if not to_mend:
            self.stdout.write(self.style.SUCCESS("Nothing is to be mended."))

    def _print_list(
        self,
        title: str,
        messages: Iterable[CheckMessage],
        style_of: Callable[[CheckMessage], Callable[[str], str]],
    ) -> None:
        self.stdout.write(title)
        for message in messages:
            self.stdout.write(style_of(message)(_wrapped(str(message.msg), "- ", "  ")))
            if message.hint:
                self.stdout.write(_wrapped(f"{message.hint} ({message.id})", "  > ", "    "))
        self.stdout.write("")

    def _style_of(self, message: CheckMessage) -> Callable[[str], str]:
        if message.level >= checks.ERROR:
            return self.style.ERROR
        return self.style.WARNING


def find_all(accepted: Iterable[str] = ()) -> list[CheckMessage]:
    """Run all checks, those of servers too. Return what they found, the worst first."""
    databases = [DEFAULT_DB_ALIAS]
    messages = checks.run_checks(
        tags=[SERVERS], include_deployment_checks=True, databases=databases
    )
    # Other checks fail without a database, or without its tables.
    if any(message.id in (NO_DATABASE, UNMIGRATED) for message in messages):
        databases = []
    tags = checks.registry.registry.tags_available(deployment_checks=True) - {SERVERS}
    messages += checks.run_checks(
        tags=list(tags), include_deployment_checks=True, databases=databases
    )
    require_known(accepted, known_ids() | {str(message.id) for message in messages})
    left_out = CONSEQUENCES | set(accepted)
    found = []
    for message in messages:
        if message.id not in left_out and not message.is_silenced():
            found.append(message)
    return sorted(found, key=lambda message: (-message.level, str(message.id)))


def require_known(accepted: Iterable[str], known: set[str]) -> None:
    """Raise CommandError for an id that no check has: its finding would not be left out."""
    for each in accepted:
        if each not in known:
            raise CommandError(
                f"--accept {each}: there is no such finding. There are {', '.join(sorted(known))}.",
                returncode=2,
            )


def known_ids() -> set[str]:
    """Return the ids of what checks for production can find, from the source of their modules."""
    modules = set()
    for check in checks.registry.registry.deployment_checks:
        modules.add(getmodule(check))
    ids: set[str] = set()
    for module in modules:
        if module is not None:
            ids.update(ID.findall(getsource(module)))
    return ids


def _wrapped(text: str, first: str, later: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    )


def _as_json(message: CheckMessage) -> dict[str, str]:
    level = "note"
    if message.level >= checks.ERROR:
        level = "error"
    elif message.level >= checks.WARNING:
        level = "warning"
    return {
        "id": str(message.id),
        "level": level,
        "text": str(message.msg),
        "todo": str(message.hint or ""),
    }
