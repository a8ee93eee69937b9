"""`manage.py audit`: proves that every accepted request has ended or is in flight."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from guests.audit import failures, in_flight


class Command(BaseCommand):
    help = "List what is wrong and what is in flight; end with 1 if anything is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        wrong, going = list(failures()), in_flight()
        if options["json"]:
            found = {"failures": wrong, "in_flight": [asdict(request) for request in going]}
            self.stdout.write(json.dumps(found))
        else:
            for request in going:
                self.stdout.write(
                    f"in flight: {request.ticket_id} ({request.event}), {request.age:.1f} s old,"
                    f" {request.attempts} attempts {request.error}".rstrip()
                )
            for sentence in wrong:
                self.stdout.write(self.style.ERROR(f"wrong: {sentence}"))
            self.stdout.write(f"{len(wrong)} wrong, {len(going)} in flight")
        if wrong:
            sys.exit(1)
