"""Accepting requests for a place on a list."""

import logging
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from prometheus_client import Counter

from accounts.models import User
from accounts.services import is_blocked
from accounts.suspicious import note_suspicious
from guests.actor import acting_as
from guests.exceptions import GuestError
from guests.models import Event, EventPromoter, Guest, GuestRequest, Promoter, Team
from guests.place_status import PlaceStatus, status_of
from guests.requests.attribution import choose_promoter
from guests.requests.line import reserve_turn
from snap.control.switches import ASYNC_CREATION, is_on
from snap.observability.context import set_ticket
from snap.observability.steps import ACCEPTED, count_step
from snap.resilience.wakeup import WakeUp

log = logging.getLogger(__name__)
wake_guests_worker = WakeUp("guests.tasks.create_guests", interval=settings.WAKE_UP_INTERVAL)

duplicate_requests = Counter(
    "duplicate_guest_requests", "Requests of accounts that had one for the event already"
)


def find_promoter(
    event: Event, *, code: str = "", promoter_id: int | None = None, team_id: int | None = None
) -> tuple[Promoter | None, Team | None]:
    """Return the promoter and team to which a request is attributed, both None if none is named.

    A promoter is named by code or id. One query, or none if none is named. Raises GuestError
    `promoter_not_at_event` as `choose_promoter` does.
    """
    if not code and promoter_id is None and team_id is None:
        return None, None
    at_event = EventPromoter.objects.filter(event=event).select_related("promoter", "team")
    named = at_event.filter(promoter=promoter_id)
    if code:
        named = at_event.filter(promoter__code=code)
    return choose_promoter(
        named.order_by("pk"), code=code, promoter_id=promoter_id, team_id=team_id
    )


def latest_request(event: Event, account: User) -> GuestRequest | None:
    """Return the account's latest request for the event, with event, guest and account loaded.

    One query, or two if there is a request. Most accounts have none.
    """
    theirs = GuestRequest.objects.filter(event=event, account=account)
    if not theirs.exists():
        return None
    return theirs.with_ticket_details().order_by("-pk").first()


def places_of(account: User) -> dict[int, PlaceStatus]:
    """Return how an account's places stand by event id, for events that are not over. One query."""
    places = Guest.objects.upcoming().filter(account=account).with_place_details()
    return {place.event_id: status_of(place) for place in places}


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
    """Store an account's request for a place on an event's list, and return it.

    An account that has a pending request or a place gets its earlier request. So does one that used
    the `idempotency_key` before for the same event, however that request ended. `name` replaces the
    account's name on the list. `account_is_new` says that `register` has just made the account, so
    it has no earlier request and its phone is not blocked. The request is due in `due_in` seconds,
    or by default when its turn comes (`reserve_turn`).

    Raises GuestError: `not_open_yet`, `closed`, `event_cancelled`, `list_full` (without a waiting
    list), `refused` (a blocked phone or an inactive account), or `key_reused` (the key was used for
    another event). Five statements, two of them in a transaction of their own, or one for a new
    account. Inside a transaction the request is accepted when that commits.
    """
    if idempotency_key:
        repeated = _request_with_key(event, account, idempotency_key)
        if repeated:
            set_ticket(repeated.ticket_id)
            return repeated
    if not account_is_new:
        earlier = latest_request(event, account)
        if earlier and _is_pending_or_placed(earlier):
            duplicate_requests.inc()
            _keep_place(earlier)
            set_ticket(earlier.ticket_id)
            return earlier
    check_list_takes_requests(event)
    if not account_is_new:
        _check_not_blocked(account)
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
        due_in = reserve_turn(event)
    if account_is_new:
        is_stored = request.insert(due_in=due_in)
    else:
        is_stored = _insert_unless_placed(request, due_in)
    return _stored_request(request, is_stored=is_stored)


def _insert_unless_placed(request: GuestRequest, due_in: float) -> bool:
    """Insert a request unless the account has one. Return whether it was inserted.

    The statement that inserts sees the rows as they were when it began. It misses another request
    that was stored and ended since, so a second statement looks again before the commit.
    """
    with transaction.atomic():
        is_stored = request.insert(due_in=due_in)
        if is_stored and request.has_other_place():
            transaction.set_rollback(True)
            is_stored = False
    return is_stored


def _stored_request(request: GuestRequest, *, is_stored: bool) -> GuestRequest:
    """Return the request, or the one that the account made at the same moment."""
    if not is_stored:
        duplicate_requests.inc()
        stored = latest_request(request.event, request.account)
        if stored is None:
            # The key was used for another event at the same moment.
            raise GuestError("key_reused")
        set_ticket(stored.ticket_id)
        return stored
    set_ticket(request.ticket_id)
    log.info("guest_request_accepted")
    if is_on(ASYNC_CREATION):
        transaction.on_commit(wake_guests_worker)
    transaction.on_commit(partial(count_step, ACCEPTED))
    return request


def check_list_and_reserve_turn(event: Event) -> float:
    """Count a request that a transaction is about to make. Return the seconds until its turn.

    Raises GuestError as `check_list_takes_requests` does. Not for use inside a transaction, because
    of the round trip to Redis.
    """
    check_list_takes_requests(event)
    return reserve_turn(event)


def _check_not_blocked(account: User) -> None:
    if account.is_active and account.phone is not None and not is_blocked(account.phone):
        return
    log.warning("guest_request_refused", extra={"account_id": account.pk})
    note_suspicious("blocked_phone", phone=account.phone or "")
    raise GuestError("refused")


def _request_with_key(event: Event, account: User, key: str) -> GuestRequest | None:
    """Return the request that an account made with this key. Raises GuestError `key_reused`."""
    with_key = GuestRequest.objects.filter(account=account, idempotency_key=key)
    found = with_key.with_ticket_details().first()
    if found and found.event_id != event.pk:
        raise GuestError("key_reused")
    return found


def _is_pending_or_placed(request: GuestRequest) -> bool:
    if request.guest is not None:
        return request.guest.state != Guest.State.CANCELLED
    return request.state == GuestRequest.State.PENDING


def _keep_place(request: GuestRequest) -> None:
    """Undo giving the place of a request back: a new request says that the guest wants it."""
    guest = request.guest
    if guest is None or not guest.is_leaving:
        return
    with acting_as(request.account):
        guest.keep()
    guest.leaves_at = None


def check_list_takes_requests(event: Event, at: datetime | None = None) -> None:
    """Raise GuestError if the list takes no requests at that time, by default now.

    Codes: `not_open_yet`, `closed`, `event_cancelled`, or `list_full` without a waiting list.
    """
    state = event.list_state(at)
    if state == Event.ListState.CANCELLED:
        raise GuestError("event_cancelled")
    if state not in {Event.ListState.OPEN, Event.ListState.FULL}:
        raise GuestError(state)
    if event.is_full_without_waiting_list(at):
        raise GuestError("list_full")
