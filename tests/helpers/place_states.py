"""A guest in each state that its holder can be told."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from guests.lists.services import move_guest
from guests.models import Event, Guest
from guests.place_status import PlaceCode
from guests.requests.giving_back import give_place_back
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_event, make_guest, make_staff

HOUR = timedelta(hours=1)
FIRST_VENUE, SECOND_VENUE = "Sala Exemplo", "Praia do Norte"


def changed(guest: Guest, **fields: Any) -> Guest:
    """Change the guest's event in the database, and return the guest."""
    Event.objects.filter(pk=guest.event_id).update(**fields)
    return guest


def promoted() -> Guest:
    first = make_guest(make_event(capacity=1))
    waiting = make_guest(first.event)
    cancel_guests(first.event_id, [first.pk], acting_user=make_staff())
    waiting.refresh_from_db()
    return waiting


def waiting() -> Guest:
    return make_guest(make_guest(make_event(capacity=1)).event)


def begun() -> Guest:
    now = timezone.now()
    return make_guest(make_event(starts_at=now - HOUR, ends_at=now + HOUR))


def over() -> Guest:
    now = timezone.now()
    return changed(make_guest(), starts_at=now - 3 * HOUR, ends_at=now)


def ended(ending: Guest.Ending) -> Guest:
    guest = make_guest()
    if ending is Guest.Ending.GIVEN_BACK:
        Guest.objects.filter(pk=guest.pk).update(leaves_at=timezone.now())
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff(), ending=ending)
    return guest


def moved_to_event() -> Guest:
    guest = make_guest()
    move_guest(guest, make_event(title="Outra Noite"), acting_user=make_staff())
    return guest


def leaving() -> Guest:
    guest = make_guest()
    assert give_place_back(guest)
    guest.refresh_from_db()
    return guest


# The guests are as they were made, so those whose place ended have the QR token that they had.
GUESTS: dict[PlaceCode, Callable[[], Guest]] = {
    PlaceCode.VALID: make_guest,
    PlaceCode.PROMOTED: promoted,
    PlaceCode.MOVED: lambda: changed(make_guest(), venue=SECOND_VENUE),
    PlaceCode.BEGUN: begun,
    PlaceCode.UNPROVEN: lambda: make_guest(make_event(requires_proof=True)),
    PlaceCode.WAITING: waiting,
    PlaceCode.WAITING_ENDED: lambda: changed(waiting(), waiting_list_ends_at=timezone.now()),
    PlaceCode.OVER: over,
    PlaceCode.EVENT_CANCELLED: lambda: changed(make_guest(), cancelled_at=timezone.now()),
    PlaceCode.REMOVED: lambda: ended(Guest.Ending.REMOVED),
    PlaceCode.LEAVING: leaving,
    PlaceCode.GIVEN_BACK: lambda: ended(Guest.Ending.GIVEN_BACK),
    PlaceCode.MOVED_TO_EVENT: moved_to_event,
}
