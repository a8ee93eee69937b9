"""Turning accepted requests into guests: what the workers do, a batch at a time.

Whoever works on an event's list holds the lock of its row, so places go in the order in which
requests came and never beyond the capacity. A worker that finds the lock taken leaves: the one that
holds it looks again after letting go, and so sees every request whose wake-up came meanwhile.
"""

import logging
from datetime import timedelta
from threading import BoundedSemaphore
from time import monotonic, sleep

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from prometheus_client import Counter, Histogram

from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import fill_pool, take_from_pool
from guests.requests.places import (
    fill_free_places,
    give_places_to_waiting,
    notify_guests,
    push_tickets,
)
from guests.requests.tickets import build_ticket
from snap.observability.logs import describe_error

log = logging.getLogger(__name__)

waiters = BoundedSemaphore(settings.CREATE_WAITERS)

guests_created = Counter("guests_created", "Guests put on a list")
creation_duration = Histogram(
    "guest_creation_duration_ms",
    "Milliseconds from the acceptance of a request to its guest",
    buckets=(10, 25, 50, 100, 250, 500, 1000, 3000, 10_000, 60_000),
)


def create_due_guests(*, pause: float = 0) -> int:
    """End every request that is due, event by event. Return how many were taken up.

    Looks again until nothing is due, for who found the list locked meanwhile; after less than a
    full batch only when `pause` seconds are over, or a rush would be many batches of one or two.
    """
    taken_up = 0
    while True:
        due = GuestRequest.objects.due().order_by().values_list("event_id", flat=True).distinct()
        batch = sum(create_guests_for_event(event_id) for event_id in due)
        if not batch:
            return taken_up
        taken_up += batch
        if batch < settings.GUEST_BATCH_SIZE:
            sleep(pause)


def create_guests_for_event(event_id: int) -> int:
    """End up to GUEST_BATCH_SIZE due requests of one event. Return how many were taken up.

    0 means that nothing was due or that somebody else is at work on this list. A request that was
    taken up may be due still: it ends in the next round when QR codes had run out.
    """
    due = GuestRequest.objects.due().filter(event_id=event_id).order_by("pk")
    expected = due[: settings.GUEST_BATCH_SIZE].count()
    places = Event.objects.filter(pk=event_id).values_list("capacity", "places_taken").first()
    if not expected or places is None:
        return 0
    fill_pool(min(expected, places[0] - places[1]))
    with transaction.atomic():
        event = Event.objects.locked(event_id, skip_locked=True).first()
        if event is None:
            return 0
        if not give_places_to_waiting(event):
            # The codes for those who wait are drawn outside of the transaction.
            transaction.on_commit(lambda: fill_free_places(event), robust=True)
            return expected
        locked = due.select_for_update(skip_locked=True).values_list("pk", flat=True)
        batch = list(locked[: settings.GUEST_BATCH_SIZE])
        try:
            with transaction.atomic():
                _end_requests(event, batch)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 (one bad row must not hold up its batch)
            # Which one is bad shows when each goes alone.
            log.warning(
                "guest_batch_failed", extra={"event_id": event_id, "error": describe_error(error)}
            )
            for pk in batch:
                _end_alone(event, pk)
        return len(batch)


def create_guest_now(request: GuestRequest, *, seconds: float = 1) -> GuestRequest:
    """End a committed request here and now, without waiting for a worker. Return it anew.

    Still pending when it stands in line, or after that many seconds, because others hold the list:
    the sweeper ends it.
    """
    give_up_at, pause = monotonic() + seconds, 0.01
    rows = GuestRequest.objects.with_ticket_details()
    while True:
        create_guests_for_event(request.event_id)
        request = rows.get(pk=request.pk)
        is_over = request.state != GuestRequest.State.PENDING or request.is_in_line
        if is_over or monotonic() > give_up_at:
            return request
        sleep(pause)
        pause = min(pause * 2, 0.2)


def create_guest_while_waiting(request: GuestRequest) -> GuestRequest:
    """End a committed request here for somebody who hears no push, and return it anew.

    Only CREATE_WAITERS threads of a process may wait for it, at most CREATE_WAIT_SECONDS, so that a
    peak leaves the others to serve: the request stays pending then, and the workers end it.
    """
    if not waiters.acquire(blocking=False):
        return request
    try:
        return create_guest_now(request, seconds=settings.CREATE_WAIT_SECONDS)
    finally:
        waiters.release()


def _end_alone(event: Event, pk: int) -> None:
    event.refresh_from_db(fields=["places_taken"])
    try:
        with transaction.atomic():
            _end_requests(event, [pk])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 (one bad row must not hold up its batch)
        log.warning(
            "guest_request_failed", extra={"request_id": pk, "error": describe_error(error)}
        )
        _count_attempt(GuestRequest.objects.get(pk=pk), describe_error(error))


def _count_attempt(request: GuestRequest, error: str) -> None:
    backoff = timedelta(seconds=settings.GUEST_REQUEST_BACKOFF * 2**request.attempts)
    rows = GuestRequest.objects.filter(pk=request.pk)
    rows.update(attempts=F("attempts") + 1, next_attempt_at=Now() + backoff, error=error)
    if request.attempts + 1 >= settings.GUEST_REQUEST_ATTEMPTS:
        log.error("guest_request_dead", extra={"ticket_id": str(request.ticket_id)})
        rows.update(state=GuestRequest.State.DEAD, ended_at=Now())


def _end_requests(event: Event, batch: list[int]) -> None:
    """End requests in their order: a place while there are any, then the waiting line.

    The event is locked by the caller. A constant number of queries, whatever the batch.
    """
    requests = list(
        GuestRequest.objects.filter(pk__in=batch).select_related("account").order_by("pk")
    )
    for request in requests:
        request.event = event
    known = {guest.account_id: guest for guest in _guests_known(event, requests)}
    phones = {guest.phone: guest.account_id for guest in known.values()}
    # Tokens that are missing, because another event took them, leave requests for the next round.
    tokens = take_from_pool(min(len(requests), event.places_left))
    fresh: list[Guest] = []
    for request in requests:
        guest = known.get(request.account_id)
        if guest is not None and guest.state != Guest.State.CANCELLED:
            request.guest = guest
            request.state = _ended_as(guest)
        elif event.cancelled_at:
            _refuse(request, "cancelled")
        elif phones.get(request.phone, request.account_id) != request.account_id:
            _refuse(request, "phone_on_list")
        elif event.places_left > 0:
            if not tokens:
                break
            event.places_taken += 1
            fresh.append(_new_guest(request, tokens.pop(0)))
        elif event.has_waiting_list:
            fresh.append(_new_guest(request, None))
        else:
            _refuse(request, "list_full")
    stored = _upsert(fresh)
    for request in requests:
        if request.account_id in stored and request.guest is None and not request.refusal:
            request.guest = stored[request.account_id]
            request.state = _ended_as(request.guest)
    ended = [request for request in requests if request.state != GuestRequest.State.PENDING]
    Event.objects.filter(pk=event.pk).update(places_taken=event.places_taken)
    durations = _store_ends(ended)
    notify_guests([(r, r.guest) for r in ended if r.guest and r.account_id in stored])
    push_tickets([build_ticket(r, r.guest) for r in ended if r.account_id not in stored])
    _count(fresh, durations)


def _guests_known(event: Event, requests: list[GuestRequest]) -> QuerySet[Guest]:
    """The event's guests who are one of these people, or have one of their phones."""
    same_account = Q(account__in=[request.account_id for request in requests])
    same_phone = Q(phone__in=[request.phone for request in requests])
    return Guest.objects.filter(same_account | same_phone, event=event)


def _ended_as(guest: Guest) -> str:
    return GuestRequest.State.CREATED if guest.is_on_list else GuestRequest.State.WAITLISTED


def _refuse(request: GuestRequest, code: str) -> None:
    request.state, request.refusal = GuestRequest.State.REFUSED, code
    log.info(
        "guest_request_ended_refused", extra={"ticket_id": str(request.ticket_id), "code": code}
    )


def _new_guest(request: GuestRequest, token: str | None) -> Guest:
    return Guest(
        event_id=request.event_id,
        account_id=request.account_id,
        phone=request.phone,
        name=request.name,
        promoter_id=request.promoter_id,
        team_id=request.team_id,
        state=Guest.State.ON_LIST if token else Guest.State.WAITING,
        queue_number=request.pk,
        listings=1 if token else 0,
        qr_token=token,
    )


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


def _upsert(guests: list[Guest]) -> dict[int, Guest]:
    """Insert guests, or list again those who had cancelled. Return them by account, with ids."""
    if not guests:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(UPSERT, [[getattr(g, column) for g in guests] for column in COLUMNS])
        stored = {row[0]: row[1:] for row in cursor.fetchall()}
    for guest in guests:
        guest.pk, guest.listings = stored[guest.account_id]
    return {guest.account_id: guest for guest in guests}


def _store_ends(requests: list[GuestRequest]) -> list[float]:
    """Return the milliseconds from the acceptance of each to its end, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE guests_guestrequest AS request
            SET state = ended.state, refusal = ended.refusal, guest_id = ended.guest_id,
                ended_at = now(), error = ''
            FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[])
                AS ended (id, state, refusal, guest_id)
            WHERE request.id = ended.id
            RETURNING extract(epoch FROM clock_timestamp() - request.accepted_at) * 1000
            """,
            [
                [request.pk for request in requests],
                [request.state for request in requests],
                [request.refusal for request in requests],
                [request.guest.pk if request.guest else None for request in requests],
            ],
        )
        return [float(milliseconds) for (milliseconds,) in cursor.fetchall()]


def _count(created: list[Guest], durations: list[float]) -> None:
    guests_created.inc(sum(guest.is_on_list for guest in created))
    for milliseconds in durations:
        creation_duration.observe(milliseconds)
