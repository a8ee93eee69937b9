"""`manage.py audit`: check that each accepted request has ended or is in flight."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from guests.audit import InFlight, failures, in_flight


class Command(BaseCommand):
    help = "List failures and requests in flight. The exit status is 1 if there is a failure."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = list(failures())
        pending = in_flight()
        if options["json"]:
            report = {"failures": wrong, "in_flight": list(map(asdict, pending))}
            self.stdout.write(json.dumps(report))
        else:
            self.print_report(wrong, pending)
        if wrong:
            sys.exit(1)

    def print_report(self, wrong: list[str], pending: list[InFlight]) -> None:
        for request in pending:
            self.stdout.write(
                f"in flight: {request.ticket_id} ({request.event}), {request.age:.1f} s old,"
                f" {request.attempts} attempts {request.error}".rstrip()
            )
        for sentence in wrong:
            self.stdout.write(self.style.ERROR(f"wrong: {sentence}"))
        self.stdout.write(f"{len(wrong)} wrong, {len(pending)} in flight")
