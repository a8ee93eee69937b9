"""What must hold in the database after any storm."""

from collections.abc import Iterator

from django.db.models import Min

from guests.audit import failures
from guests.models import Guest
from notifications.models import Email


def broken_invariants() -> list[str]:
    """Return a sentence for each thing that is wrong, none if all is well.

    What `manage.py audit` proves, and what holds besides when no one was cancelled or went wrong
    meanwhile: everybody with an address has their email, and nobody got past the waiting line.
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
