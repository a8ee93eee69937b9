"""Tickets: the state of a request in one shape for pages, JSON, pushes and polling."""

from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from math import ceil
from typing import Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from accounts.mailboxes import masked_email
from guests.models import Appointment, Event, Guest, GuestRequest
from guests.place_status import (
    OPENING_CODES,
    PLACE_TEXTS,
    PlaceCode,
    PlaceStatus,
    PlaceText,
    place_status,
)
from guests.qr.codes import image_url, pass_url
from notifications.kinds import is_paused
from snap.control.modes import is_crowded
from snap.local_cache import LocalCache

REQUESTS_PER_SECOND = 100  # a cautious rate of one worker, for estimates
# The same while a mode is on, and the estimate when no request waits.
CROWDED_REQUESTS_PER_SECOND = 40
CROWDED_SECONDS = 5
MAX_WAITED_SECONDS = 60  # the most by which the time waited raises an estimate
PENDING_COUNT_SECONDS = 1.0  # a process counts an event's pending requests once in this time
SAME_OUTAGE = timedelta(days=1)
# Fields of a ticket that an older release cannot read in a push. They are sent beside the others,
# where it ignores them. A new field belongs here. So does the refusal of a cancelled place.
FIELDS_BESIDE = (
    "registered_at",
    "as_of",
    "address",
    "event_state",
    "sequence",
    "place",
    "moved_from",
    "moved_to_slug",
    "moved_to_title",
    "email_hint",
    "likely_domain",
    "undo_seconds",
    "can_give_back",
)

# Counts of pending requests, by event id.
_pending: LocalCache[int, int] = LocalCache(size=1000, seconds=lambda: PENDING_COUNT_SECONDS)


class TicketState(StrEnum):
    """The states of a ticket.

    `QUEUED`, `BY_EMAIL` and `REGISTERED_ELSEWHERE` exist during or after an outage of the database.
    """

    PROCESSING = "processing"  # The request is pending.
    QUEUED = "queued"  # The request is in the emergency journal.
    CREATED = "created"  # The guest is on the list.
    UNPROVEN = "unproven"  # The guest is on the list, and the QR code waits for a proof.
    WAITLISTED = "waitlisted"  # The guest is on the waiting list.
    REFUSED = "refused"  # The ticket's `refusal` has the GuestError code.
    CANCELLED = "cancelled"  # The place ended. The ticket's `refusal` can say why.
    FAILED = "failed"  # All attempts failed, and staff look after it.
    # The result went to the account's email, since this browser cannot prove the account.
    BY_EMAIL = "by_email"
    # As BY_EMAIL. Another browser had registered the phone with another email, at the ticket's
    # `registered_at`.
    REGISTERED_ELSEWHERE = "registered_elsewhere"


UNFINISHED_STATES = frozenset(
    {
        TicketState.PROCESSING,
        TicketState.QUEUED,
        TicketState.FAILED,
        TicketState.WAITLISTED,
    }
)
# States of a request without a place. Nothing can follow, unless the visitor asks again.
STATES_WITHOUT_A_PLACE = frozenset(
    {TicketState.REFUSED, TicketState.BY_EMAIL, TicketState.REGISTERED_ELSEWHERE}
)
# The state of a ticket and its refusal, for the codes of a place other than those on the list.
ENDED_PLACES = {
    PlaceCode.WAITING: (TicketState.WAITLISTED, ""),
    PlaceCode.WAITING_ENDED: (TicketState.WAITLISTED, ""),
    PlaceCode.EVENT_CANCELLED: (TicketState.CANCELLED, "event_cancelled"),
    PlaceCode.REMOVED: (TicketState.CANCELLED, ""),
    PlaceCode.GIVEN_BACK: (TicketState.CANCELLED, "given_back"),
    PlaceCode.MOVED_TO_EVENT: (TicketState.CANCELLED, "moved_to_event"),
}
# The places that a ticket's state says already.
USUAL_PLACES = frozenset(
    {
        PlaceCode.VALID,
        PlaceCode.PROMOTED,
        PlaceCode.UNPROVEN,
        PlaceCode.WAITING,
        PlaceCode.REMOVED,
    }
)
# The place of a ticket that an older release has pushed.
PLACE_OF_STATE = {
    TicketState.CREATED: PlaceCode.VALID,
    TicketState.UNPROVEN: PlaceCode.UNPROVEN,
    TicketState.WAITLISTED: PlaceCode.WAITING,
    TicketState.CANCELLED: PlaceCode.REMOVED,
}


@dataclass(frozen=True)
class Ticket:
    """The present state of a guest request, in values that JSON has.

    `position` is the position on the waiting list, or in the line of requests past a limit.
    `as_of` is set while the database is away: the time at which the state was last known.
    `starts_at`, `registered_at` and `as_of` are ISO 8601.

    `event_state` is an Event.Phase. `place` is the PlaceCode of the request's guest, "" without
    one. `moved_from` is when and where the event was when the guest got the place, as
    `Appointment.to_json` returns it, None if that has not changed. `sequence` is the revision of
    the event. `moved_to_slug` and `moved_to_title` are of the event to which staff moved the guest.

    `email_hint` is the masked address to which emails go, and `likely_domain` the domain that was
    probably meant, "" if it looks right. `undo_seconds` are left to undo giving the place back.
    """

    ticket_id: str
    state: TicketState
    event_slug: str
    event_title: str
    venue: str
    time_zone: str
    starts_at: str
    name: str
    guest_id: int | None = None
    qr_code_url: str = ""
    pass_url: str = ""
    position: int | None = None
    refusal: str = ""
    email_follows: bool = False
    registered_at: str = ""
    as_of: str = ""
    address: str = ""
    event_state: str = Event.Phase.UPCOMING.value
    sequence: int = 0
    place: str = ""
    moved_from: dict[str, str] | None = None
    moved_to_slug: str = ""
    moved_to_title: str = ""
    email_hint: str = ""
    likely_domain: str = ""
    undo_seconds: int = 0
    can_give_back: bool = False

    @property
    def shown_state(self) -> str:
        """What a page compares to know whether it shows this ticket: all that changes its text."""
        parts = [str(self.state)]
        if self.position and self.place != PlaceCode.WAITING_ENDED:
            parts.append(str(self.position))
        if self.place not in {"", *USUAL_PLACES}:
            parts.append(self.place)
        if self.sequence and self.place:
            parts.append(f"r{self.sequence}")
        return "-".join(parts)

    @property
    def shows_code(self) -> bool:
        """Whether the QR code is shown, because it opens the door."""
        return self.state is TicketState.CREATED and self.place in OPENING_CODES

    @property
    def place_text(self) -> PlaceText | None:
        """What the holder of the place reads, None without a place."""
        if not self.place:
            return None
        return PLACE_TEXTS[PlaceCode(self.place)]

    @property
    def image_url(self) -> str:
        """The path of the image of the pass, which a guest saves."""
        return urlsplit(self.pass_url).path + "/image.png"

    @property
    def previous(self) -> Appointment | None:
        """When and where the event was before, if that has changed."""
        if self.moved_from is None:
            return None
        return Appointment.from_json(self.moved_from)

    @property
    def is_final(self) -> bool:
        return self.state not in UNFINISHED_STATES

    @property
    def is_followed(self) -> bool:
        """Whether a page that shows the ticket still waits for changes, by socket and by polls."""
        return self.state not in STATES_WITHOUT_A_PLACE

    @property
    def refusal_code(self) -> str:
        """Why the ticket has no place: the code of its refusal, else its state."""
        return self.refusal or self.state

    @property
    def local_start(self) -> datetime:
        return datetime.fromisoformat(self.starts_at).astimezone(self.zone)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def local_registration(self) -> datetime | None:
        return self._local(self.registered_at)

    @property
    def local_as_of(self) -> datetime | None:
        return self._local(self.as_of)

    def _local(self, moment: str) -> datetime | None:
        if not moment:
            return None
        return datetime.fromisoformat(moment).astimezone(self.zone)

    @property
    def group(self) -> str:
        """The channel group of the sockets that follow this ticket."""
        return push_group(self.ticket_id)

    def as_message(self) -> dict[str, Any]:
        """Return the message for the ticket's group. The previous release can read it too."""
        known = asdict(self)
        more = {}
        for name in FIELDS_BESIDE:
            more[name] = known.pop(name)
        if self.state is TicketState.CANCELLED:
            more["refusal"] = known["refusal"]
            known["refusal"] = ""
        return {"type": "ticket.changed", "ticket": known, "more": more}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Return the ticket of a message from this release, the previous one or the next one."""
        given = message["ticket"] | message.get("more", {})
        state = TicketState(given["state"])
        known: dict[str, Any] = {"place": PLACE_OF_STATE.get(state, "")}
        for field in fields(cls):
            if field.name in given:
                known[field.name] = given[field.name]
        return cls(**known | {"state": state})


def push_group(ticket_id: str) -> str:
    return "ticket." + ticket_id.replace("-", "")


def ticket_of(request: GuestRequest) -> Ticket:
    """Return the ticket of a request with its event, account and guest loaded.

    One more query for the position if it waits.
    """
    return build_ticket(request, request.guest)


def build_ticket(
    request: GuestRequest, guest: Guest | None, *, position: int | None = None
) -> Ticket:
    """Return the ticket of a request and its guest, if it has one.

    A position that the caller knows saves the query for it.
    """
    now = request.known_now
    if guest is not None:
        fields = _place_fields(request, guest, position, now)
    else:
        state, refusal = _state_without_guest(request)
        fields = {"state": state, "refusal": refusal, "name": request.name}
        if request.is_in_line:
            fields["position"] = request.position_in_line()
    return Ticket(
        ticket_id=str(request.ticket_id),
        email_follows=bool(request.account.email) and not is_paused("qr_code"),
        email_hint=masked_email(request.account.email),
        likely_domain=request.account.likely_domain,
        **_event_fields(request.event, now),
        **fields,
    )


def _event_fields(event: Event, now: datetime) -> dict[str, Any]:
    """Return what a ticket shows of its event."""
    return {
        "event_slug": event.slug,
        "event_title": event.title,
        "venue": event.venue,
        "address": event.address,
        "time_zone": event.time_zone,
        "starts_at": event.starts_at.isoformat(),
        "event_state": event.phase(now).value,
        "sequence": event.sequence,
    }


def _place_fields(
    request: GuestRequest, guest: Guest, position: int | None, now: datetime
) -> dict[str, Any]:
    """Return what a ticket shows of a guest: how the place stands, and what belongs to that."""
    event = request.event
    is_withheld = guest.is_on_list and event.withholds_qr_from(request.account)
    status = place_status(event, guest, is_withheld=is_withheld, now=now)
    state, refusal = _state_of_place(status, is_withheld=is_withheld)
    if status.code is PlaceCode.LEAVING and guest.state == Guest.State.WAITING:
        state = TicketState.WAITLISTED
    fields: dict[str, Any] = {
        "state": state,
        "refusal": refusal,
        "name": guest.name,
        "place": status.code.value,
        "undo_seconds": guest.seconds_to_undo(now),
        "can_give_back": status.can_give_back and guest.checked_in_at is None,
    }
    if status.moved_from:
        fields["moved_from"] = status.moved_from.to_json()
    if status.code is PlaceCode.MOVED_TO_EVENT and guest.moved_to:
        fields["moved_to_slug"] = guest.moved_to.slug
        fields["moved_to_title"] = guest.moved_to.title
    return fields | _guest_fields(guest, state, position)


def _state_of_place(status: PlaceStatus, *, is_withheld: bool) -> tuple[TicketState, str]:
    """Return the state of a ticket with a guest and its refusal, "" for none."""
    if status.code in ENDED_PLACES:
        return ENDED_PLACES[status.code]
    if is_withheld:
        return TicketState.UNPROVEN, ""
    return TicketState.CREATED, ""


def _guest_fields(guest: Guest, state: TicketState, position: int | None) -> dict[str, Any]:
    """Return the guest's QR code or position on the waiting list."""
    if state == TicketState.WAITLISTED:
        return {"guest_id": guest.pk, "position": position or guest.position()}
    if state != TicketState.CREATED:
        return {}
    fields: dict[str, Any] = {"guest_id": guest.pk}
    if guest.qr_token:
        fields["qr_code_url"] = image_url(guest.qr_token)
        fields["pass_url"] = pass_url(guest.qr_token)
    return fields


def ticket_without_guest(
    event: Event,
    ticket_id: str,
    state: TicketState,
    *,
    refusal: str = "",
    registered_at: str = "",
    now: datetime | None = None,
) -> Ticket:
    """Return a ticket with the event and nothing of a guest.

    `now` is by default the time of the event's read.
    """
    return Ticket(
        ticket_id=ticket_id,
        state=state,
        name="",
        refusal=refusal,
        registered_at=registered_at,
        **_event_fields(event, now or event.database_now),
    )


def ticket_sent_by_email(request: GuestRequest) -> Ticket:
    """Return the ticket for a browser that cannot prove the request's account.

    The result itself goes to the account's email. A refusal is shown here, since no email is sent
    for it and its reason says nothing of the account. A browser that registered the phone a second
    time sees when the first registration was, if that was in the same outage. The age of an older
    account is private.
    """
    build = partial(
        ticket_without_guest, request.event, str(request.ticket_id), now=request.known_now
    )
    match request.state:
        case GuestRequest.State.PENDING:
            return build(TicketState.QUEUED)
        case GuestRequest.State.REFUSED:
            return build(TicketState.REFUSED, refusal=_refusal_of(request))
        case GuestRequest.State.DEAD:
            return build(TicketState.FAILED)
    if not request.is_second_registration:
        return build(TicketState.BY_EMAIL)
    registered_at = ""
    if request.account.created_at > request.accepted_at - SAME_OUTAGE:
        registered_at = request.account.created_at.isoformat()
    return build(TicketState.REGISTERED_ELSEWHERE, registered_at=registered_at)


def _state_without_guest(request: GuestRequest) -> tuple[TicketState, str]:
    """Return the ticket's state and, for a refused request, the GuestError code."""
    if request.state == GuestRequest.State.PENDING:
        return TicketState.PROCESSING, ""
    if request.state == GuestRequest.State.REFUSED:
        return TicketState.REFUSED, _refusal_of(request)
    return TicketState.FAILED, ""


def _refusal_of(request: GuestRequest) -> str:
    """Return the GuestError code of a refused request.

    Earlier releases stored `cancelled` when the event was cancelled.
    """
    if request.refusal == "cancelled":
        return "event_cancelled"
    return request.refusal


def seconds_left(request: GuestRequest) -> int:
    """Return the estimated seconds until a request ends, at least 1.

    A request that has waited longer than the estimate gets the time that it has waited, up to
    MAX_WAITED_SECONDS. One in line past a limit gets at least the time until its turn.
    """
    if request.state != GuestRequest.State.PENDING:
        return 1
    now = request.database_now
    waited = int((now - request.accepted_at).total_seconds())
    wait = max(estimated_seconds(request.event_id), min(waited, MAX_WAITED_SECONDS))
    if request.is_in_line:
        turn = (request.next_attempt_at - now).total_seconds()
        wait = max(wait, ceil(turn) + 1)
    return wait


def estimated_seconds(event_id: int) -> int:
    """Return the estimated seconds until a request made now ends, at least 1.

    It is longer while a mode is on. A process counts the pending requests once in
    PENDING_COUNT_SECONDS: in a rush each visitor asks, and there are many rows to count.
    """
    pending = _pending.get(event_id)
    if pending is None:
        pending = GuestRequest.objects.pending().filter(event_id=event_id)[:10_000].count()
        _pending.set(event_id, pending)
    if is_crowded():
        return CROWDED_SECONDS + pending // CROWDED_REQUESTS_PER_SECOND
    return 1 + pending // REQUESTS_PER_SECOND
