"""Turning accepted requests into guests, a batch at a time. The workers call this module.

A process locks the event's row before it changes the event's list. So places are given in the order
of the requests, and never beyond the capacity. A worker that finds the row locked leaves. The
process that holds the lock looks for due requests again after it has released it, so it sees each
request whose wake-up arrived meanwhile.
"""

import logging
from datetime import timedelta
from functools import partial
from threading import BoundedSemaphore
from time import monotonic, sleep

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from prometheus_client import Counter, Histogram

from accounts.models import User
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import fill_pool, take_from_pool
from guests.requests.accepting import wake_guests_worker
from guests.requests.columns import columns_of
from guests.requests.pushes import push_places_changed, push_tickets
from guests.requests.tickets import build_ticket
from guests.requests.waiting_list import (
    fill_free_places,
    give_places_to_waiting,
    notify_guests,
)
from snap.control.modes import batch_factor
from snap.control.switches import ASYNC_CREATION, BATCHING, is_on
from snap.observability import tracing
from snap.observability.context import context_of, following
from snap.observability.error_reports import report_error
from snap.observability.logs import describe_error
from snap.observability.steps import CREATED, REFUSED, WAITLISTED, count_step

log = logging.getLogger(__name__)

waiters = BoundedSemaphore(settings.CREATE_WAITERS)
# Seconds for which a thread tries to create a guest directly.
DIRECT_SECONDS = 1.0

guests_created = Counter("guests_created", "Guests put on a list at once, not promoted later")
requests_ended = Counter(
    "guest_requests_ended",
    "Requests that ended, and whether they did within 60 seconds of their turn",
    ["outcome", "in_time"],
)
# A request should end within this time (milliseconds).
IN_TIME_MS = 60_000
# By outcome, and whether the request ended in time. All begin at 0.
_counts_ended = {
    (outcome, is_in_time): requests_ended.labels(outcome, "yes" if is_in_time else "no").inc
    for outcome in (CREATED, WAITLISTED, REFUSED)
    for is_in_time in (True, False)
}
batch_sizes = Histogram(
    "guest_batch_size",
    "Requests that are ended in one transaction",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200),
)
creation_duration = Histogram(
    "guest_creation_duration_ms",
    "Milliseconds from the acceptance of a request to its guest",
    buckets=(10, 25, 50, 100, 250, 500, 1000, 3000, 10_000, 60_000),
)


def batch_size() -> int:
    """Return how many requests one transaction ends: GUEST_BATCH_SIZE, and more in queue mode.

    One while staff have turned batching off.
    """
    if not is_on(BATCHING):
        return 1
    return settings.GUEST_BATCH_SIZE * batch_factor()


def creates_now() -> bool:
    """Return whether the process that accepts a request also ends it.

    It does while no worker can be woken, and while staff have turned async creation off.
    """
    return wake_guests_worker.is_failing() or not is_on(ASYNC_CREATION)


def create_due_guests(*, pause: float = 0) -> int:
    """End all due requests, event by event, until none is due. Return how many were taken up.

    After a batch of fewer than `batch_size()` requests it waits for `pause` seconds, and for longer
    in queue mode. Without the pause a rush would be many batches of one or two requests.
    """
    taken_up = 0
    while True:
        due = GuestRequest.objects.due().order_by().values_list("event_id", flat=True).distinct()
        batch = sum(map(create_guests_for_event, due))
        if not batch:
            return taken_up
        taken_up += batch
        if batch < batch_size():
            sleep(pause * batch_factor())


def create_guests_for_event(event_id: int) -> int:
    """End up to `batch_size()` due requests of one event. Return how many were taken up.

    The result is 0 when no request is due, or when another process holds the list's lock. Requests
    for which the pool had no QR code stay due until the next round.
    """
    size = batch_size()
    due = GuestRequest.objects.due().filter(event_id=event_id).order_by("pk")
    expected = due[:size].count()
    places = Event.objects.filter(pk=event_id).values_list("capacity", "places_taken").first()
    if not expected or places is None:
        return 0
    capacity, places_taken = places
    with tracing.span("create guests", event_id=event_id):
        fill_pool(min(expected, capacity - places_taken))
        return _end_due_batch(event_id, due, size=size, expected=expected)


def _end_due_batch(event_id: int, due: QuerySet[GuestRequest], *, size: int, expected: int) -> int:
    with transaction.atomic():
        event = Event.objects.locked(event_id, skip_locked=True).first()
        if event is None:
            return 0
        if not give_places_to_waiting(event):
            # QR codes for the waiting guests have to be drawn outside of the transaction.
            transaction.on_commit(lambda: fill_free_places(event), robust=True)
            return expected
        locked = due.select_for_update(skip_locked=True).values_list("pk", flat=True)
        request_ids = list(locked[:size])
        _end_batch(event, request_ids)
    if request_ids:
        batch_sizes.observe(len(request_ids))
    return len(request_ids)


def create_guest_now(request: GuestRequest, *, seconds: float = DIRECT_SECONDS) -> GuestRequest:
    """End a committed request in this process. Return it as read afterwards.

    It is still pending when it waits in line past a limit, or when other processes held the list's
    lock for `seconds`. The workers or the sweeper end it then.
    """
    give_up_at = monotonic() + seconds
    pause = 0.01
    rows = GuestRequest.objects.with_ticket_details()
    while True:
        create_guests_for_event(request.event_id)
        request = rows.get(pk=request.pk)
        has_ended = request.state != GuestRequest.State.PENDING
        if has_ended or request.is_in_line or monotonic() > give_up_at:
            return request
        sleep(pause)
        pause = min(pause * 2, 0.2)


def create_guest_while_waiting(
    request: GuestRequest, *, seconds: float | None = None
) -> GuestRequest:
    """End a committed request in this thread: its visitor gets no push, or SNAP is overloaded.

    Return it. At most CREATE_WAITERS threads of a process do this at once, each for `seconds`, by
    default CREATE_WAIT_SECONDS, so that other threads stay free in a rush. Beyond that the request
    stays pending for the workers.
    """
    if not waiters.acquire(blocking=False):
        return request
    try:
        if seconds is None:
            seconds = settings.CREATE_WAIT_SECONDS
        return create_guest_now(request, seconds=seconds)
    finally:
        waiters.release()


def _end_batch(event: Event, request_ids: list[int]) -> None:
    """End requests together. If that fails, end each one alone, so that only bad rows fail."""
    try:
        with transaction.atomic():
            end_requests(event, request_ids)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 (one bad row must not hold up its batch)
        log.warning(
            "guest_batch_failed", extra={"event_id": event.pk, "error": describe_error(error)}
        )
        for request_id in request_ids:
            _end_alone(event, request_id)


def _end_alone(event: Event, request_id: int) -> None:
    event.refresh_from_db(fields=["places_taken"])
    try:
        with transaction.atomic():
            end_requests(event, [request_id])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 (one bad row must not hold up its batch)
        request = GuestRequest.objects.get(pk=request_id)
        with following(context_of(request)):
            log.warning("guest_request_failed", extra={"error": describe_error(error)})
            report_error(error)
            _count_attempt(request, describe_error(error))


def _count_attempt(request: GuestRequest, error: str) -> None:
    """Postpone a request that failed. After GUEST_REQUEST_ATTEMPTS attempts it is dead."""
    backoff = timedelta(seconds=settings.GUEST_REQUEST_BACKOFF * 2**request.attempts)
    rows = GuestRequest.objects.filter(pk=request.pk)
    rows.update(attempts=F("attempts") + 1, next_attempt_at=Now() + backoff, error=error)
    if request.attempts + 1 >= settings.GUEST_REQUEST_ATTEMPTS:
        log.error("guest_request_dead")
        rows.update(state=GuestRequest.State.DEAD, ended_at=Now())
        push_places_changed([request])


def end_requests(event: Event, request_ids: list[int]) -> None:
    """End requests in their order: with a place, a place on the waiting list, or a refusal.

    The caller has locked the event. The number of queries does not depend on the batch's size.
    """
    rows = GuestRequest.objects.filter(pk__in=request_ids).select_related("account")
    requests = list(rows.order_by("pk"))
    with tracing.continuing_each("create guest", requests):
        _end(event, requests)


def _end(event: Event, requests: list[GuestRequest]) -> None:
    for request in requests:
        request.event = event
    new, settled = _decide(event, requests)
    guests = [guest for _, guest in new]
    _upsert(guests)
    for request, guest in new:
        _end_with_guest(request, guest)
    Event.objects.filter(pk=event.pk).update(places_taken=event.places_taken)
    ended = [*settled, *(request for request, _ in new)]
    durations = _store_ends(ended)
    notify_guests(new)
    push_tickets([build_ticket(request, request.guest) for request in settled], settled)
    transaction.on_commit(partial(_count_created, guests))
    transaction.on_commit(partial(_count_ends, ended, durations))
    transaction.on_commit(partial(_log_ends, requests), robust=True)


def _log_ends(requests: list[GuestRequest]) -> None:
    """Log how each request ended, under the ids of the visitor's own HTTP request."""
    for request in requests:
        if request.state == GuestRequest.State.PENDING:
            continue  # The pool had no QR code for it.
        with following(context_of(request)):
            log.info(
                "guest_request_ended",
                extra={
                    "state": str(request.state),
                    "code": request.refusal or None,
                    "guest_id": request.guest_id,
                    "event_id": request.event_id,
                },
            )


def end_due_requests(event: Event, *, beside: User) -> bool:
    """End the due requests of others, at most GUEST_BATCH_SIZE. Return whether a place is left.

    The caller has locked the event, and gives a place to `beside` by hand: nobody who asked before
    may be overtaken. False also when more requests are due than the list has places.
    """
    due = GuestRequest.objects.due().filter(event=event).exclude(account=beside).order_by("pk")
    locked = due.select_for_update(skip_locked=True).values_list("pk", flat=True)
    _end_batch(event, list(locked[: settings.GUEST_BATCH_SIZE]))
    if event.places_left == 0:
        return not due.exists()
    return due[: event.places_left].count() < event.places_left


def _decide(
    event: Event, requests: list[GuestRequest]
) -> tuple[list[tuple[GuestRequest, Guest]], list[GuestRequest]]:
    """Decide how requests end, and count the places that they take on the event in memory.

    Return the requests with the guests to store for them, and the requests that end without a new
    guest: refused, or on the list already. Requests for which the pool has no QR code are in
    neither list: another event has taken the codes, and they stay due.
    """
    new: list[tuple[GuestRequest, Guest]] = []
    settled: list[GuestRequest] = []
    guest_by_account: dict[int, Guest] = {}
    account_by_phone: dict[str | None, int] = {}
    for guest in _existing_guests(event, requests):
        guest_by_account[guest.account_id] = guest
        account_by_phone[guest.phone] = guest.account_id
    tokens = take_from_pool(min(len(requests), event.places_left))
    for request in requests:
        existing = guest_by_account.get(request.account_id)
        phone_account = account_by_phone.get(request.phone, request.account_id)
        is_phone_taken = phone_account != request.account_id
        if existing is not None and existing.state != Guest.State.CANCELLED:
            _end_with_guest(request, existing)
            settled.append(request)
        elif refusal := _refusal_of(event, is_phone_taken=is_phone_taken):
            _refuse(request, refusal)
            settled.append(request)
        elif event.places_left == 0:
            new.append((request, _new_guest(request, None)))
        elif tokens:
            event.places_taken += 1
            new.append((request, _new_guest(request, tokens.pop(0))))
        else:
            break
    return new, settled


def _refusal_of(event: Event, *, is_phone_taken: bool) -> str:
    """Return the GuestError code with which a request for a new place ends, "" for none."""
    if event.cancelled_at:
        return "event_cancelled"
    if is_phone_taken:
        return "phone_on_list"
    if event.is_full_without_waiting_list():
        return "list_full"
    return ""


def _existing_guests(event: Event, requests: list[GuestRequest]) -> QuerySet[Guest]:
    """Return the event's guests that have the account or the phone of a request."""
    accounts, phones = columns_of(requests, "account_id", "phone")
    return Guest.objects.filter(Q(account__in=accounts) | Q(phone__in=phones), event=event)


def _end_with_guest(request: GuestRequest, guest: Guest) -> None:
    request.guest = guest
    request.state = GuestRequest.State.WAITLISTED
    if guest.is_on_list:
        request.state = GuestRequest.State.CREATED


def _refuse(request: GuestRequest, code: str) -> None:
    request.state = GuestRequest.State.REFUSED
    request.refusal = code


def _new_guest(request: GuestRequest, token: str | None) -> Guest:
    """Return a guest, not stored yet: on the list with a QR token, else on the waiting list."""
    guest = Guest(
        event_id=request.event_id,
        account_id=request.account_id,
        phone=request.phone or None,
        name=request.name,
        promoter_id=request.promoter_id,
        team_id=request.team_id,
        state=Guest.State.WAITING,
        queue_number=request.pk,
        created_at=request.event.database_now,
    )
    if token:
        guest.state = Guest.State.ON_LIST
        guest.listings = 1
        guest.qr_token = token
    return guest


COLUMNS = (
    "event_id",
    "account_id",
    "phone",
    "name",
    "promoter_id",
    "team_id",
    "state",
    "queue_number",
    "listings",
    "qr_token",
)
UPSERT = """
INSERT INTO guests_guest AS guest (
    event_id, account_id, phone, name, promoter_id, team_id, state, queue_number, listings, qr_token
)
SELECT * FROM unnest(
    %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[],
    %s::bigint[], %s::smallint[], %s::text[]
)
ON CONFLICT (event_id, account_id) DO UPDATE SET
    phone = excluded.phone, name = excluded.name, promoter_id = excluded.promoter_id,
    team_id = excluded.team_id, state = excluded.state, queue_number = excluded.queue_number,
    listings = guest.listings + excluded.listings, qr_token = excluded.qr_token,
    checked_in_at = NULL
WHERE guest.state = 'cancelled'
RETURNING account_id, id, listings
"""


def _upsert(guests: list[Guest]) -> None:
    """Insert guests, and update those that were cancelled. Set their ids and listings."""
    if not guests:
        return
    with connection.cursor() as cursor:
        cursor.execute(UPSERT, columns_of(guests, *COLUMNS))
        rows = cursor.fetchall()
    stored: dict[int, tuple[int, int]] = {}
    for account_id, guest_id, listings in rows:
        stored[account_id] = (guest_id, listings)
    for guest in guests:
        guest.pk, guest.listings = stored[guest.account_id]


def _store_ends(requests: list[GuestRequest]) -> dict[int, float]:
    """Store how requests ended.

    Return the milliseconds from the acceptance of each to its end, by its id and the database's
    clock.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE guests_guestrequest AS request
            SET state = ended.state, refusal = ended.refusal, guest_id = ended.guest_id,
                ended_at = now(), error = ''
            FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[])
                AS ended (id, state, refusal, guest_id)
            WHERE request.id = ended.id
            RETURNING request.id, extract(epoch FROM clock_timestamp() - request.accepted_at) * 1000
            """,
            columns_of(requests, "pk", "state", "refusal", "guest_id"),
        )
        return {request_id: float(milliseconds) for request_id, milliseconds in cursor.fetchall()}


def _count_created(guests: list[Guest]) -> None:
    guests_created.inc(sum(guest.is_on_list for guest in guests))


def _count_ends(requests: list[GuestRequest], durations: dict[int, float]) -> None:
    """Count requests that ended, by the milliseconds that each took."""
    for request in requests:
        milliseconds = durations[request.pk]
        creation_duration.observe(milliseconds)
        count_step(request.state)
        is_in_time = milliseconds - request.milliseconds_in_line <= IN_TIME_MS
        _counts_ended[request.state, is_in_time]()
