"""What somebody who holds a ticket is told: one shape for pages, JSON, pushes and polling."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Self
from zoneinfo import ZoneInfo

from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import image_url, pass_url
from snap.local_cache import LocalCache

ROWS_A_SECOND = 100  # A low guess at what one worker ends, for the time people are told.
LONGEST_GUESS = 60  # seconds
SAME_OUTAGE = timedelta(days=1)
BELIEVED_FOR = 1.0  # seconds that a count of an event's pending requests is good for a guess

# How many requests of an event are pending, by the event's id.
_pending: LocalCache[int, int] = LocalCache(size=1000, seconds=lambda: BELIEVED_FOR)


@dataclass(frozen=True)
class Ticket:
    """The present state of a guest request, plain enough to travel as JSON.

    `position` is the place in the waiting list, or in line while a request past a limit waits for
    its turn. `state`: processing, created, unproven (the QR code waits for a proof), waitlisted,
    refused (with `refusal`, a GuestError code), cancelled, or failed (staff look after it).
    `starts_at` is ISO 8601 in UTC. In and after an emergency also: queued (in the journal),
    by_email (the browser that holds the ticket cannot prove the account: the answer went to the
    account's email) and registered_elsewhere (the same; another browser registered the phone with
    another email, at `registered_at`). `as_of` says when the state was last known,
    while the database is away. Both times are ISO 8601.
    """

    ticket_id: str
    state: str
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
        return self.state not in {"processing", "queued", "failed"}

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
        return datetime.fromisoformat(moment).astimezone(self.zone) if moment else None

    @property
    def group(self) -> str:
        """The channel group that hears of this ticket."""
        return push_group(self.ticket_id)

    def as_message(self) -> dict[str, Any]:
        """Return the message for the ticket's group, readable for the previous release too."""
        told = asdict(self)
        for never_pushed in ("registered_at", "as_of"):
            del told[never_pushed]
        return {"type": "ticket.changed", "ticket": told}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        return cls(**message["ticket"])


def push_group(ticket_id: str) -> str:
    return "ticket." + ticket_id.replace("-", "")


def ticket_of(request: GuestRequest) -> Ticket:
    """Describe a request that comes with its event and guest. One query if it waits."""
    return build_ticket(request, request.guest)


def build_ticket(
    request: GuestRequest, guest: Guest | None, *, position: int | None = None
) -> Ticket:
    state, refusal = _state_of(request, guest)
    shown = guest if state in {"created", "waitlisted"} else None
    if shown and state == "waitlisted" and position is None:
        position = shown.position()
    elif state == "processing" and request.is_in_line:
        position = request.place_in_line()
    token = shown.qr_token if shown else None
    event = request.event
    return Ticket(
        ticket_id=str(request.ticket_id),
        state=state,
        event_slug=event.slug,
        event_title=event.title,
        venue=event.venue,
        time_zone=event.time_zone,
        starts_at=event.starts_at.isoformat(),
        name=guest.name if guest else request.name,
        guest_id=shown.pk if shown else None,
        qr_code_url=image_url(token) if token else "",
        pass_url=pass_url(token) if token else "",
        position=position,
        refusal=refusal,
        email_follows=bool(request.account.email),
    )


def ticket_without_guest(
    event: Event, ticket_id: str, state: str, *, refusal: str = "", registered_at: str = ""
) -> Ticket:
    """Return a ticket that says nothing of a guest."""
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
    """Return what a browser is told that cannot prove the request's account.

    No email tells of a refusal, and its reason says nothing of the account: the browser learns it
    here. A browser that registered the phone a second time is told so, and when the first one did
    if that was in the same outage: since when somebody has an account is not for others.
    """
    event, ticket_id = request.event, str(request.ticket_id)
    match request.state:
        case GuestRequest.State.PENDING:
            return ticket_without_guest(event, ticket_id, "queued")
        case GuestRequest.State.REFUSED:
            return ticket_without_guest(event, ticket_id, "refused", refusal=request.refusal)
        case GuestRequest.State.DEAD:
            return ticket_without_guest(event, ticket_id, "failed")
    if not request.is_second_registration:
        return ticket_without_guest(event, ticket_id, "by_email")
    first_at = request.account.created_at
    is_recent = first_at > request.accepted_at - SAME_OUTAGE
    return ticket_without_guest(
        event,
        ticket_id,
        "registered_elsewhere",
        registered_at=first_at.isoformat() if is_recent else "",
    )


def _state_of(request: GuestRequest, guest: Guest | None) -> tuple[str, str]:
    if guest is not None and guest.is_on_list and request.event.withholds_qr_from(request.account):
        return "unproven", ""
    if guest is not None:
        return {
            Guest.State.ON_LIST.value: "created",
            Guest.State.WAITING.value: "waitlisted",
            Guest.State.CANCELLED.value: "cancelled",
        }[guest.state], ""
    if request.state == GuestRequest.State.PENDING:
        return "processing", ""
    if request.state == GuestRequest.State.REFUSED:
        return "refused", request.refusal
    return "failed", ""


def seconds_left(request: GuestRequest) -> int:
    """Return how long a request takes to end, in seconds, at least 1.

    Who has waited for longer than that is told to expect as long again, up to a minute.
    """
    if request.state != GuestRequest.State.PENDING:
        return 1
    now = request.database_now
    waited = (now - request.accepted_at).total_seconds()
    wait = max(estimated_seconds(request.event_id), min(int(waited), LONGEST_GUESS))
    if request.is_in_line:
        wait = max(wait, ceil((request.next_attempt_at - now).total_seconds()) + 1)
    return wait


def estimated_seconds(event_id: int) -> int:
    """Return how long a request made now takes to end, in seconds, at least 1.

    One query a second and process: in a rush everybody asks, and there is much to count.
    """
    pending = _pending.get(event_id)
    if pending is None:
        pending = GuestRequest.objects.pending().filter(event_id=event_id)[:10_000].count()
        _pending.set(event_id, pending)
    return 1 + pending // ROWS_A_SECOND
