"""`manage.py replay`: tries again what ran out of attempts; without --go it only says what."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from guests.emergency.replay import replay_entries, replay_requests
from guests.models import DeadEntry, GuestRequest, parse_ticket_id


class Command(BaseCommand):
    help = (
        "List the dead guest requests and journal entries, all or those of the tickets given. With"
        " --go give them all their attempts again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tickets", nargs="*", metavar="ticket", help="only these")
        parser.add_argument("--go", action="store_true", help="replay them; else only list them")

    def handle(self, *args: Any, tickets: list[str], go: bool, **options: Any) -> None:
        requests = GuestRequest.objects.filter(state=GuestRequest.State.DEAD).order_by("pk")
        entries = DeadEntry.objects.order_by("pk")
        if tickets:
            wanted = [self._parse(text) for text in tickets]
            requests, entries = (
                requests.filter(ticket_id__in=wanted),
                entries.filter(ticket_id__in=wanted),
            )
        for request in requests.select_related("event"):
            self.stdout.write(
                f"request {request.ticket_id} ({request.event.slug}): {request.error}"
            )
        for entry in entries:
            self.stdout.write(f"entry {entry.ticket_id} ({entry.event_slug}): {entry.error}")
        total = requests.count() + entries.count()
        if not go:
            self.stdout.write(f"{total} dead. Nothing was done: add --go to replay them.")
            return
        done = 0
        for request in list(requests):
            done += replay_requests(GuestRequest.objects.filter(pk=request.pk))
            self.stdout.write(f"{done}/{total} replayed", ending="\r")
        done += replay_entries(entries, actor="manage.py replay")
        self.stdout.write(f"{done}/{total} replayed")

    def _parse(self, text: str) -> UUID:
        ticket_id = parse_ticket_id(text)
        if ticket_id is None:
            raise CommandError(f"{text} is not a ticket id.")
        return ticket_id
