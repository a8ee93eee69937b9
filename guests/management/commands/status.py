"""`manage.py status`: the night in a terminal, once or each second."""

import json
import logging
import shutil
import sys
from argparse import ArgumentParser
from time import monotonic, sleep
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error, close_old_connections

from guests.overview.events import Night, NightEvent, read_night
from guests.overview.problems import Problem, Severity, problems_of, severity_of
from guests.overview.system import QUERY_SECONDS, System, read_system
from guests.overview.terminal import describe
from snap.resilience.connections import deadline

SECONDS = 1.0  # between two pictures
# ANSI: the cursor to the top left, and everything below it away.
CLEAR = "\x1b[H\x1b[J"


class Command(BaseCommand):
    help = (
        "Show level, servers, modes, queues, emails, response times and processes. The exit status"
        " is 0 if all is well, 1 if something needs attention, 2 if a part is down or unknown. It"
        " also works while PostgreSQL or Redis is away."
    )
    # They would ask the database.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")
        parser.add_argument(
            "--watch", action="store_true", help="show it again each second, until Ctrl-C"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # Each finding is said in the picture. Lines of the log would be in between.
        logging.disable(logging.CRITICAL)
        severity = Severity.WELL
        try:
            severity = self._show(options)
            while options["watch"]:
                severity = self._show_again(options)
        except KeyboardInterrupt:
            pass  # Ctrl-C is how a watch ends.
        finally:
            logging.disable(logging.NOTSET)
        if severity:
            sys.exit(severity)

    def _show_again(self, options: dict[str, Any]) -> Severity:
        sleep(SECONDS - monotonic() % SECONDS)
        return self._show(options)

    def _show(self, options: dict[str, Any]) -> Severity:
        system = read_system()
        night = None
        if system.rows is not None:
            night = _read_night()
        close_old_connections()
        problems = problems_of(system)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(system, problems, night)))
        else:
            lines = describe(system, problems, night)
            if options["watch"] and self.stdout.isatty():
                lines = fitting(lines, shutil.get_terminal_size().lines)
            self._print(lines, problems, options["watch"])
        self.stdout.flush()
        return severity_of(problems)

    def _print(self, lines: list[str], problems: list[Problem], is_watching: bool) -> None:
        title, *others = lines
        styles = {
            Severity.WELL: self.style.SUCCESS,
            Severity.ATTENTION: self.style.WARNING,
            Severity.DOWN: self.style.ERROR,
        }
        text = "\n".join([styles[severity_of(problems)](title), *others])
        if is_watching and self.stdout.isatty():
            text = f"{CLEAR}{text}"
        elif is_watching:
            text = f"{text}\n"
        self.stdout.write(text)


def fitting(lines: list[str], rows: int) -> list[str]:
    """Return the lines that fit into a terminal: what scrolls away is the top, which says most."""
    # The cursor stands in the last row.
    if len(lines) < rows:
        return lines
    return [*lines[: rows - 2], "… (more in a higher terminal)"]


def _read_night() -> Night | None:
    try:
        with deadline(QUERY_SECONDS):
            return read_night()
    except Error:
        return None


def _as_json(system: System, problems: list[Problem], night: Night | None) -> dict[str, Any]:
    found = []
    for problem in problems:
        found.append(
            {
                "severity": problem.severity.name.lower(),
                "text": problem.text,
                "heading": problem.heading,
            }
        )
    severity = severity_of(problems)
    told = {"status": severity.name.lower(), "problems": found, **system.to_json(), "events": None}
    if night is not None:
        told["events"] = list(map(_event_as_json, night.events))
    return told


def _event_as_json(each: NightEvent) -> dict[str, Any]:
    return {
        "slug": each.event.slug,
        "title": each.event.title,
        "capacity": each.event.capacity,
        "counts": dict(each.counts.totals),
    }
