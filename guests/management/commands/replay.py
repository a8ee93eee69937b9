"""`manage.py replay`: list the dead requests and journal entries, or replay them with `--go`."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from guests.emergency.replay import replay_entries, replay_requests
from guests.models import DeadEntry, GuestRequest, parse_ticket_id


class Command(BaseCommand):
    help = (
        "List the dead guest requests and journal entries: all of them, or those of the given"
        " tickets. With --go, give them all their attempts again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tickets", nargs="*", metavar="ticket", help="only these ticket ids")
        parser.add_argument("--go", action="store_true", help="replay them, do not only list them")

    def handle(self, *args: Any, tickets: list[str], go: bool, **options: Any) -> None:
        requests = GuestRequest.objects.filter(state=GuestRequest.State.DEAD).order_by("pk")
        entries = DeadEntry.objects.order_by("pk")
        if tickets:
            ticket_ids = list(map(_parse_ticket_id, tickets))
            requests = requests.filter(ticket_id__in=ticket_ids)
            entries = entries.filter(ticket_id__in=ticket_ids)
        self._list(requests, entries)
        total = requests.count() + entries.count()
        if go:
            self._replay(requests, entries, total)
        else:
            self.stdout.write(f"{total} dead. Nothing was done: add --go to replay them.")

    def _list(self, requests: QuerySet[GuestRequest], entries: QuerySet[DeadEntry]) -> None:
        for request in requests.select_related("event"):
            slug = request.event.slug
            self.stdout.write(f"request {request.ticket_id} ({slug}): {request.error}")
        for entry in entries:
            self.stdout.write(f"entry {entry.ticket_id} ({entry.event_slug}): {entry.error}")

    def _replay(
        self, requests: QuerySet[GuestRequest], entries: QuerySet[DeadEntry], total: int
    ) -> None:
        replayed = 0
        for request in list(requests):
            replayed += replay_requests(GuestRequest.objects.filter(pk=request.pk))
            self.stdout.write(f"{replayed}/{total} replayed", ending="\r")
        replayed += replay_entries(entries, actor="manage.py replay")
        self.stdout.write(f"{replayed}/{total} replayed")


def _parse_ticket_id(text: str) -> UUID:
    ticket_id = parse_ticket_id(text)
    if ticket_id is None:
        raise CommandError(f"{text} is not a ticket id.")
    return ticket_id
