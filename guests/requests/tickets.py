"""Tickets: the state of a request in one shape for pages, JSON, pushes and polling."""

from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any, Self
from zoneinfo import ZoneInfo

from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import image_url, pass_url
from snap.local_cache import LocalCache

REQUESTS_PER_SECOND = 100  # a cautious rate of one worker, for estimates
MAX_WAITED_SECONDS = 60  # the most by which the time waited raises an estimate
PENDING_COUNT_SECONDS = 1.0  # a process counts an event's pending requests once in this time
SAME_OUTAGE = timedelta(days=1)
# Fields of a ticket that an older release cannot read in a push. They are sent beside the others,
# where it ignores them. A new field belongs here.
FIELDS_BESIDE = ("registered_at", "as_of")

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
    CANCELLED = "cancelled"  # The guest was cancelled.
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
STATE_OF_GUEST = {
    Guest.State.ON_LIST.value: TicketState.CREATED,
    Guest.State.WAITING.value: TicketState.WAITLISTED,
    Guest.State.CANCELLED.value: TicketState.CANCELLED,
}


@dataclass(frozen=True)
class Ticket:
    """The present state of a guest request, in values that JSON has.

    `position` is the position on the waiting list, or in the line of requests past a limit.
    `as_of` is set while the database is away: the time at which the state was last known.
    `starts_at`, `registered_at` and `as_of` are ISO 8601.
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
        return {"type": "ticket.changed", "ticket": known, "more": more}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Return the ticket of a message from this release, the previous one or the next one."""
        given = message["ticket"] | message.get("more", {})
        known = {}
        for field in fields(cls):
            if field.name in given:
                known[field.name] = given[field.name]
        return cls(**known | {"state": TicketState(known["state"])})


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
    state, refusal = _state_of(request, guest)
    event = request.event
    name = request.name
    place: dict[str, Any] = {}
    if guest is not None:
        name = guest.name
        place = _place_fields(guest, state, position)
    elif request.is_in_line:
        place = {"position": request.position_in_line()}
    return Ticket(
        ticket_id=str(request.ticket_id),
        state=state,
        event_slug=event.slug,
        event_title=event.title,
        venue=event.venue,
        time_zone=event.time_zone,
        starts_at=event.starts_at.isoformat(),
        name=name,
        refusal=refusal,
        email_follows=bool(request.account.email),
        **place,
    )


def _place_fields(guest: Guest, state: TicketState, position: int | None) -> dict[str, Any]:
    """Return what a ticket shows of a guest: the QR code or the position on the waiting list."""
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
    event: Event, ticket_id: str, state: TicketState, *, refusal: str = "", registered_at: str = ""
) -> Ticket:
    """Return a ticket with the event and nothing of a guest."""
    return Ticket(
        ticket_id=ticket_id,
        state=state,
        event_slug=event.slug,
        event_title=event.title,
        venue=event.venue,
        time_zone=event.time_zone,
        starts_at=event.starts_at.isoformat(),
        name="",
        refusal=refusal,
        registered_at=registered_at,
    )


def ticket_sent_by_email(request: GuestRequest) -> Ticket:
    """Return the ticket for a browser that cannot prove the request's account.

    The result itself goes to the account's email. A refusal is shown here, since no email is sent
    for it and its reason says nothing of the account. A browser that registered the phone a second
    time sees when the first registration was, if that was in the same outage. The age of an older
    account is private.
    """
    event = request.event
    ticket_id = str(request.ticket_id)
    match request.state:
        case GuestRequest.State.PENDING:
            return ticket_without_guest(event, ticket_id, TicketState.QUEUED)
        case GuestRequest.State.REFUSED:
            return ticket_without_guest(
                event, ticket_id, TicketState.REFUSED, refusal=request.refusal
            )
        case GuestRequest.State.DEAD:
            return ticket_without_guest(event, ticket_id, TicketState.FAILED)
    if not request.is_second_registration:
        return ticket_without_guest(event, ticket_id, TicketState.BY_EMAIL)
    registered_at = ""
    if request.account.created_at > request.accepted_at - SAME_OUTAGE:
        registered_at = request.account.created_at.isoformat()
    return ticket_without_guest(
        event, ticket_id, TicketState.REGISTERED_ELSEWHERE, registered_at=registered_at
    )


def _state_of(request: GuestRequest, guest: Guest | None) -> tuple[TicketState, str]:
    """Return the ticket's state and, for a refused request, the GuestError code."""
    if guest is not None:
        if guest.is_on_list and request.event.withholds_qr_from(request.account):
            return TicketState.UNPROVEN, ""
        return STATE_OF_GUEST[guest.state], ""
    if request.state == GuestRequest.State.PENDING:
        return TicketState.PROCESSING, ""
    if request.state == GuestRequest.State.REFUSED:
        return TicketState.REFUSED, request.refusal
    return TicketState.FAILED, ""


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

    A process counts the pending requests once in PENDING_COUNT_SECONDS: in a rush each visitor
    asks, and there are many rows to count.
    """
    pending = _pending.get(event_id)
    if pending is None:
        pending = GuestRequest.objects.pending().filter(event_id=event_id)[:10_000].count()
        _pending.set(event_id, pending)
    return 1 + pending // REQUESTS_PER_SECOND
