"""Accepting requests for a place on a list."""

import logging
from datetime import datetime

from django.conf import settings
from django.db import transaction
from prometheus_client import Counter

from accounts.models import User
from accounts.services import is_blocked
from accounts.suspicious import note_suspicious
from guests.exceptions import GuestError
from guests.models import Event, EventPromoter, Guest, GuestRequest, Promoter, Team
from guests.requests.attribution import choose_promoter
from guests.requests.line import seconds_in_line
from snap.resilience.wakeup import WakeUp

log = logging.getLogger(__name__)
wake_guests_worker = WakeUp("guests.tasks.create_guests", interval=settings.WAKE_UP_INTERVAL)

duplicate_requests = Counter(
    "duplicate_guest_requests", "Requests by somebody who had one for that event already"
)


def find_promoter(
    event: Event, *, code: str = "", promoter_id: int | None = None, team_id: int | None = None
) -> tuple[Promoter | None, Team | None]:
    """Return the promoter and team a request is attributed to, both None when none was named.

    One query, none when nobody was named. Raises GuestError as `choose_promoter` does.
    """
    if not code and promoter_id is None and team_id is None:
        return None, None
    at_event = EventPromoter.objects.filter(event=event).select_related("promoter", "team")
    named = at_event.filter(promoter__code=code) if code else at_event.filter(promoter=promoter_id)
    return choose_promoter(
        named.order_by("pk"), code=code, promoter_id=promoter_id, team_id=team_id
    )


def latest_request(event: Event, account: User) -> GuestRequest | None:
    """Return the account's last request for the event, with event, guest and account.

    One query, or two when there is one: most people have none.
    """
    theirs = GuestRequest.objects.filter(event=event, account=account)
    if not theirs.exists():
        return None
    return theirs.with_ticket_details().order_by("-pk").first()


def places_of(account: User) -> dict[int, str]:
    """Return an account's places on the lists of events ahead: guest states by event. One query."""
    places = Guest.objects.upcoming().filter(account=account)
    return dict(places.values_list("event", "state"))


def request_place(
    event: Event,
    account: User,
    *,
    promoter: Promoter | None = None,
    team: Team | None = None,
    name: str = "",
    idempotency_key: str = "",
    account_is_new: bool = False,
    due_in: float | None = None,
) -> GuestRequest:
    """Accept an account's wish to be on an event's list and return the request, committed.

    Asking again returns the request there is: pending, or ended with a place. Raises GuestError
    `not_open_yet`, `closed`, `cancelled`, `list_full` (no waiting list) or `refused`, and
    `key_reused` for an idempotency key that was used for another event: with the same one the same
    request comes back, however it ended. Past the limits of the event or the system it is due only
    when its turn in line comes. Inside a transaction the request is accepted when that commits.
    `account_is_new` says that `register` has just made the account: it cannot have asked before,
    and its phone was looked up then. Four statements, or one for a new account.
    """
    if idempotency_key and (replayed := _replayed(event, account, idempotency_key)):
        return replayed
    if not account_is_new:
        earlier = latest_request(event, account)
        if earlier and _still_stands(earlier):
            duplicate_requests.inc()
            return earlier
    check_list_takes_requests(event)
    if not account_is_new:
        _check_may_ask(account)
    request = GuestRequest(
        event=event,
        account=account,
        phone=account.phone or "",
        name=name or account.name,
        promoter=promoter,
        team=team,
        idempotency_key=idempotency_key,
    )
    if due_in is None:
        due_in = seconds_in_line(event)
    # Of two at once the database lets one in; the other one's ticket is then the first one's.
    if not request.insert(due_in=due_in):
        duplicate_requests.inc()
        if stored := latest_request(event, account):
            return stored
        raise GuestError("key_reused")  # For another event, at the same moment.
    log.info("guest_request_accepted", extra={"ticket_id": str(request.ticket_id)})
    transaction.on_commit(wake_guests_worker)
    return request


def join_line(event: Event) -> float:
    """Take a turn in line for a request that a transaction is about to make; return the seconds
    until then. Raises GuestError when the list takes nobody. Not for use inside a transaction.
    """
    check_list_takes_requests(event)
    return seconds_in_line(event)


def _check_may_ask(account: User) -> None:
    if account.is_active and account.phone is not None and not is_blocked(account.phone):
        return
    log.warning("guest_request_refused", extra={"account_id": account.pk})
    note_suspicious("blocked_phone", phone=account.phone or "")
    raise GuestError("refused")


def _replayed(event: Event, account: User, key: str) -> GuestRequest | None:
    """Return the request that an account made with this key. Raises GuestError `key_reused`."""
    found = (
        GuestRequest.objects.filter(account=account, idempotency_key=key)
        .with_ticket_details()
        .first()
    )
    if found and found.event_id != event.pk:
        raise GuestError("key_reused")
    return found


def _still_stands(request: GuestRequest) -> bool:
    if request.guest is not None:
        return request.guest.state != Guest.State.CANCELLED
    return request.state == GuestRequest.State.PENDING


def check_list_takes_requests(event: Event, at: datetime | None = None) -> None:
    """Raise GuestError when nobody can ask for a place now, or could not at that time."""
    state = event.list_state(at)
    if state == "full":
        if event.has_waiting_list:
            return
        raise GuestError("list_full")
    if state != "open":
        raise GuestError(state)
