"""`manage.py pregenerate_qr <event> <n>`: draw and store QR codes ahead of a rush."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from guests.models import Event, PooledQr
from guests.qr.codes import make_ahead

STEP = 100  # codes between two lines of progress


class Command(BaseCommand):
    help = (
        "Fill the pool of QR codes until it holds n. All events take codes from one pool. The event"
        " only limits n, to the number of its free places."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event", help="the event's address, as in its promo link")
        parser.add_argument("n", type=int, help="the size of the pool after the command")

    def handle(self, *args: Any, event: str, n: int, **options: Any) -> None:
        found = Event.objects.filter(slug=event).first()
        if found is None:
            raise CommandError(f"There is no event {event!r}.")
        if not 0 < n <= found.places_left:
            raise CommandError(f"{found.places_left} places are left at {event!r}; n is {n}.")
        size = PooledQr.objects.count()
        while size < n:
            make_ahead(min(size + STEP, n))
            size = PooledQr.objects.count()
            self.stdout.write(f"{min(size, n)} of {n}")
        self.stdout.write(f"The pool holds {size} codes.")
