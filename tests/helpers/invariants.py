"""Invariants of the database after many concurrent requests."""

from collections.abc import Iterator

from django.db.models import Min

from guests.audit import failures
from guests.models import Guest
from notifications.models import Email


def broken_invariants() -> list[str]:
    """Return a sentence for each broken invariant.

    These are the invariants of `manage.py audit`, and two that hold when no guest was cancelled:
    every guest with an address has their email, and no guest overtook the waiting list.
    """
    return [*failures(), *_missing_emails(), *_overtaken()]


def _missing_emails() -> Iterator[str]:
    queued = set(Email.objects.values_list("kind", "cause"))
    for guest in Guest.objects.exclude(state=Guest.State.CANCELLED).exclude(account__email=""):
        kind = "qr_code" if guest.is_on_list else "waitlisted"
        if (kind, f"guest:{guest.pk}/{guest.listings}") not in queued:
            yield f"guest {guest.pk}: no email {kind}"


def _overtaken() -> Iterator[str]:
    waiting = Guest.objects.filter(state=Guest.State.WAITING)
    for event_id, first in waiting.values_list("event").annotate(first=Min("queue_number")):
        on_list = Guest.objects.filter(event=event_id, state=Guest.State.ON_LIST)
        if overtaking := on_list.filter(queue_number__gt=first).count():
            yield f"event {event_id}: {overtaking} on the list who came after one who waits"
