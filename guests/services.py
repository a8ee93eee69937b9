"""Asking for a place on a list, giving a place back, and what follows from either."""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import count

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from prometheus_client import Counter

from accounts.models import User
from accounts.services import is_blocked
from accounts.suspicious import note_suspicious
from notifications.push import push_many
from notifications.services import EmailToQueue, queue_emails
from snap.wakeup import WakeUp

from . import qr
from .admission import seconds_in_line
from .errors import GuestError
from .history import acting_as
from .models import Event, EventPromoter, Guest, GuestRequest, Promoter, Team
from .promoters import choose_promoter
from .tickets import Ticket, describe

log = logging.getLogger(__name__)

wake_guests_worker = WakeUp("guests.tasks.create_guests", interval=settings.WAKE_UP_INTERVAL)

# Guests who get a place, or lose it, in one transaction: the list is locked for as long.
PLACES_BATCH = 100

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
    return theirs.to_tell().order_by("-pk").first()


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


def stand_in_line(event: Event) -> float:
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
    found = GuestRequest.objects.filter(account=account, idempotency_key=key).to_tell().first()
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


def cancel_guest(guest: Guest, *, acting_user: User) -> None:
    """Take a guest off the list or out of the waiting line; the first in line gets the place.

    The guest's QR code stops working. Cancelling twice does nothing.
    """
    cancel_guests(guest.event_id, [guest.pk], acting_user=acting_user)
    guest.refresh_from_db()


def cancel_guests(event_id: int, guest_ids: Sequence[int], *, acting_user: User) -> int:
    """Cancel guests of one event in one transaction, at most PLACES_BATCH; return how many.

    Those who are cancelled already are left alone. Not for use inside a transaction.
    """
    assert len(guest_ids) <= PLACES_BATCH
    waiting = Guest.objects.filter(event=event_id, state=Guest.State.WAITING)
    qr.fill_pool(waiting[: len(guest_ids)].count())
    with acting_as(acting_user):
        event = Event.objects.locked(event_id).get()
        found = Guest.objects.filter(event=event, pk__in=guest_ids)
        guests = list(found.exclude(state=Guest.State.CANCELLED))
        if not guests:
            return 0
        freed = sum(guest.is_on_list for guest in guests)
        Event.objects.filter(pk=event.pk).update(places_taken=F("places_taken") - freed)
        event.places_taken -= freed
        cancelled = Guest.objects.filter(pk__in=[guest.pk for guest in guests])
        cancelled.update(state=Guest.State.CANCELLED, qr_token=None)
        for guest in guests:
            log.info("guest_cancelled", extra={"guest_id": guest.pk})
            if guest.qr_token:
                transaction.on_commit(partial(qr.delete_image, guest.qr_token), robust=True)
        if not give_places_to_waiting(event):
            # Somebody else took the code. Should this fail as well, the sweeper goes on.
            transaction.on_commit(
                lambda: fill_free_places(event, acting_user=acting_user), robust=True
            )
        # Workers leave a list alone while it is locked: what came meanwhile is still due.
        transaction.on_commit(wake_guests_worker)
    return len(guests)


def fill_free_places(event: Event, *, acting_user: User | None = None) -> int:
    """Give an event's free places to the first who wait, at most PLACES_BATCH; return how many.

    0 also when somebody else is at work on this list. The sweeper gives the rest, batch after
    batch. QR codes are drawn before the list is locked. Without an acting user the history names
    the process. Not for use inside a transaction.
    """
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING)
    qr.fill_pool(min(event.places_left, waiting[:PLACES_BATCH].count()))
    with acting_as(acting_user) if acting_user else transaction.atomic():
        locked = Event.objects.locked(event.pk, skip_locked=True).first()
        if locked is None:
            return 0
        taken = locked.places_taken
        give_places_to_waiting(locked)
        transaction.on_commit(wake_guests_worker)
    return locked.places_taken - taken


def give_places_to_waiting(event: Event) -> bool:
    """Move the first PLACES_BATCH of the waiting line up while there are places. The event must be
    locked.

    Return whether all got one who can: False when more than a batch wait for free places, or when
    QR codes ran out. Nobody may overtake them.
    """
    if event.cancelled_at or event.is_over() or not event.places_left:
        return True
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING).order_by("queue_number")
    first = list(waiting[: min(event.places_left, PLACES_BATCH)])
    promoted = first[: _promote(first)]
    if promoted:
        _notify_promoted(event, promoted)
    has_more = len(first) == PLACES_BATCH and event.places_left > 0
    return len(promoted) == len(first) and not has_more


def _promote(guests: list[Guest]) -> int:
    """Put guests on the list in their order, as far as QR codes last. Return how many.

    One statement for all of them.
    """
    tokens = qr.take_from_pool(len(guests)) if guests else []
    promoted = guests[: len(tokens)]
    for guest, token in zip(promoted, tokens, strict=True):
        guest.state, guest.qr_token, guest.listings = Guest.State.ON_LIST, token, guest.listings + 1
    if promoted:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE guests_guest AS guest
                SET state = 'on_list', qr_token = given.token, listings = given.listings
                FROM unnest(%s::bigint[], %s::text[], %s::smallint[]) AS given (id, token, listings)
                WHERE guest.id = given.id
                """,
                [
                    [guest.pk for guest in promoted],
                    [guest.qr_token for guest in promoted],
                    [guest.listings for guest in promoted],
                ],
            )
    return len(promoted)


def _notify_promoted(event: Event, promoted: list[Guest]) -> None:
    event.places_taken += len(promoted)
    Event.objects.filter(pk=event.pk).update(places_taken=event.places_taken)
    requests = GuestRequest.objects.select_related("event", "account").in_bulk(
        [guest.queue_number for guest in promoted]
    )
    tell_guests([(requests[guest.queue_number], guest) for guest in promoted])


def tell_guests(told: list[tuple[GuestRequest, Guest]]) -> None:
    """Queue the email about each guest's place, and tell their open pages after the commit.

    Requests come with event and account.
    """
    queue_emails(
        [
            email_about(guest, request.account)
            for request, guest in told
            if request.account.email
            and not (guest.is_on_list and request.event.withholds_qr_from(request.account))
        ]
    )
    positions = _positions([guest for _, guest in told if guest.state == Guest.State.WAITING])
    tell_pages([describe(r, guest, position=positions.get(guest.pk)) for r, guest in told])


def _positions(waiting: list[Guest]) -> dict[int, int]:
    """Return the places in the waiting line, by guest, of guests of one event. Two queries."""
    if not waiting:
        return {}
    first = min(waiting, key=lambda guest: guest.queue_number)
    line = Guest.objects.filter(event=first.event_id, state=Guest.State.WAITING)
    from_first = line.filter(queue_number__gte=first.queue_number).order_by("queue_number")
    return dict(zip(from_first.values_list("pk", flat=True), count(first.position())))


def tell_pages(tickets: list[Ticket]) -> None:
    """Push the new states of tickets to whoever has them open, after the commit."""
    messages = [(ticket.group, ticket.as_message()) for ticket in tickets]
    transaction.on_commit(lambda: push_many(messages), robust=True)


def email_about(guest: Guest, account: User) -> EmailToQueue:
    """Return the email about a guest's place, once for each time a place was given."""
    return EmailToQueue(
        kind="qr_code" if guest.is_on_list else "waitlisted",
        cause=f"guest:{guest.pk}/{guest.listings}",
        to=account.email,
        language=account.language,
    )
