"""How a place stands: one decision for pages, pushes, the API, emails and outages.

A place is a guest at an event. What its holder is told depends on the event's phase and moves, on
the guest's state, and on the proof that the event may require.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from guests.models import Appointment, Event, Guest


class PlaceCode(StrEnum):
    """What a holder is told. The event's phase and moves are told beside it."""

    VALID = "valid"  # The QR code opens the door.
    PROMOTED = "promoted"  # It does, and the place came from the waiting list.
    MOVED = "moved"  # It does, and time or place have changed since the guest has it.
    BEGUN = "begun"  # It does, and the event has begun.
    UNPROVEN = "unproven"  # The QR code waits for a proof.
    WAITING = "waiting"  # The guest is on the waiting list.
    WAITING_ENDED = "waiting_ended"  # It gives no more places.
    OVER = "over"  # The event is over.
    EVENT_CANCELLED = "event_cancelled"
    REMOVED = "removed"  # Staff took the guest off the list.
    LEAVING = "leaving"  # The guest gave the place back, and can undo that.
    GIVEN_BACK = "given_back"  # The guest gave the place back.
    MOVED_TO_EVENT = "moved_to_event"  # Staff moved the guest to another event.
    REPLACED = "replaced"  # The guest has another QR code than the one that is shown.


# The QR code opens the door.
OPENING_CODES = frozenset({PlaceCode.VALID, PlaceCode.PROMOTED, PlaceCode.MOVED, PlaceCode.BEGUN})
# The holder has a place, or may get one, and can give it back.
HELD_CODES = OPENING_CODES | {PlaceCode.UNPROVEN, PlaceCode.WAITING}
# There is no place any more.
ENDED_CODES = frozenset(
    {
        PlaceCode.EVENT_CANCELLED,
        PlaceCode.REMOVED,
        PlaceCode.GIVEN_BACK,
        PlaceCode.MOVED_TO_EVENT,
    }
)
CODE_OF_ENDING = {
    Guest.Ending.REMOVED.value: PlaceCode.REMOVED,
    Guest.Ending.GIVEN_BACK.value: PlaceCode.GIVEN_BACK,
    Guest.Ending.MOVED.value: PlaceCode.MOVED_TO_EVENT,
}


@dataclass(frozen=True)
class PlaceText:
    """What a holder reads: a heading, a sentence below it, and a few words for lists."""

    heading: Promise
    hint: Promise
    badge: Promise


_ON_LIST = _("You are on the list")
_SHOW = _("Show it at the door, with your ID.")
_NO_CODE = _("If you have a QR code of this place, it no longer works.")
PLACE_TEXTS = {
    PlaceCode.VALID: PlaceText(_ON_LIST, _SHOW, _ON_LIST),
    PlaceCode.PROMOTED: PlaceText(
        _ON_LIST, _("A place has become free, and it is yours."), _ON_LIST
    ),
    PlaceCode.MOVED: PlaceText(
        _ON_LIST,
        _("Time or place have changed. Your place and your code stay the same."),
        _("Changed: you are on the list"),
    ),
    PlaceCode.BEGUN: PlaceText(
        _ON_LIST, _("The event has begun."), _("It has begun: you are on the list")
    ),
    PlaceCode.UNPROVEN: PlaceText(
        _("Your place is yours"),
        _("One step is left: prove that it is you, and the QR code is here."),
        _ON_LIST,
    ),
    PlaceCode.WAITING: PlaceText(
        _("You are on the waiting list"),
        _("The moment a place is yours, the QR code comes here."),
        _("You are on the waiting list"),
    ),
    PlaceCode.WAITING_ENDED: PlaceText(
        _("The waiting list has ended"),
        _("No place became free in time. There is always a next night."),
        _("The waiting list has ended"),
    ),
    PlaceCode.OVER: PlaceText(
        _("This event is over"), _("There is always a next night."), _("This event is over")
    ),
    PlaceCode.EVENT_CANCELLED: PlaceText(
        _("This event was cancelled"),
        _("It does not take place, and your place ended with it. We are sorry."),
        _("Cancelled"),
    ),
    PlaceCode.REMOVED: PlaceText(
        _("You are no longer on this list"), _NO_CODE, _("You are no longer on this list")
    ),
    PlaceCode.LEAVING: PlaceText(
        _("You gave your place back"),
        _("In a moment it goes to somebody else."),
        _("You gave your place back"),
    ),
    PlaceCode.GIVEN_BACK: PlaceText(
        _("You gave your place back"), _NO_CODE, _("You gave your place back")
    ),
    PlaceCode.MOVED_TO_EVENT: PlaceText(
        _("Your place is at another event now"),
        _("Our team moved it. The code of this event no longer works."),
        _("Your place is at another event now"),
    ),
    PlaceCode.REPLACED: PlaceText(
        _("This code was replaced"),
        _("You are on the list with a newer code: it is in your latest email."),
        _ON_LIST,
    ),
}


@dataclass(frozen=True)
class PlaceStatus:
    """How a place stands.

    `moved_from`: when and where the event was when the guest got the place, None if that has not
    changed. It is set for each code with a place, not only for `MOVED`.
    """

    code: PlaceCode
    phase: Event.Phase
    moved_from: Appointment | None = None

    @property
    def shows_code(self) -> bool:
        """Whether the QR code is shown, because it opens the door."""
        return self.code in OPENING_CODES

    @property
    def can_give_back(self) -> bool:
        """Whether there is a place that the holder can give back."""
        return self.code in HELD_CODES

    @property
    def text(self) -> PlaceText:
        return PLACE_TEXTS[self.code]


def place_status(
    event: Event, guest: Guest, *, is_withheld: bool, now: datetime | None = None
) -> PlaceStatus:
    """Return how a guest's place stands at a time, by default that of the event's read.

    `is_withheld`: the QR code waits for a proof of the account. No query.
    """
    phase = event.phase(now)
    code = _code_of(event, guest, phase, is_withheld=is_withheld, now=now)
    moved_from = None
    if code not in ENDED_CODES and phase is not Event.Phase.OVER:
        moved_from = event.moved_since(guest.placed_at)
    if moved_from and code in {PlaceCode.VALID, PlaceCode.PROMOTED}:
        code = PlaceCode.MOVED
    return PlaceStatus(code, phase, moved_from)


def _code_of(
    event: Event, guest: Guest, phase: Event.Phase, *, is_withheld: bool, now: datetime | None
) -> PlaceCode:
    if phase is Event.Phase.CANCELLED:
        return PlaceCode.EVENT_CANCELLED
    if guest.state == Guest.State.CANCELLED:
        return CODE_OF_ENDING.get(guest.ending, PlaceCode.REMOVED)
    if guest.is_leaving and phase is not Event.Phase.OVER:
        return PlaceCode.LEAVING
    if guest.state == Guest.State.WAITING:
        if event.waiting_list_has_ended(now):
            return PlaceCode.WAITING_ENDED
        return PlaceCode.WAITING
    if phase is Event.Phase.OVER:
        return PlaceCode.OVER
    if is_withheld:
        return PlaceCode.UNPROVEN
    if phase is Event.Phase.BEGUN:
        return PlaceCode.BEGUN
    if guest.is_promoted:
        return PlaceCode.PROMOTED
    return PlaceCode.VALID


def status_of(guest: Guest, *, token: str = "") -> PlaceStatus:
    """Return how a guest's place stands, at the database's time of the guest's read.

    `token`: the QR token by which the guest was found. Reads the guest's event and account.
    """
    is_withheld = guest.is_on_list and guest.is_withheld
    status = place_status(guest.event, guest, is_withheld=is_withheld, now=guest.database_now)
    if token and status.shows_code and token != guest.qr_token:
        return replace(status, code=PlaceCode.REPLACED)
    return status
