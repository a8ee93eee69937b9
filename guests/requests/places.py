"""Giving places back and promoting guests from the waiting list."""

import logging
from collections.abc import Sequence
from functools import partial
from itertools import count

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from guests.actor import acting_as
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import delete_image, fill_pool, take_from_pool
from guests.requests.accepting import wake_guests_worker
from guests.requests.tickets import Ticket, build_ticket
from notifications.push import push_many
from notifications.services import EmailToQueue, queue_emails

log = logging.getLogger(__name__)
# Guests who get a place, or lose it, in one transaction: the list is locked for as long.
PLACES_BATCH = 100


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
    fill_pool(waiting[: len(guest_ids)].count())
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
                transaction.on_commit(partial(delete_image, guest.qr_token), robust=True)
        if not give_places_to_waiting(event):
            # Somebody else took the code. Should this fail as well, the sweeper goes on.
            transaction.on_commit(
                lambda: fill_free_places(event, acting_user=acting_user), robust=True
            )
        # Workers leave a list alone while it is locked: what came meanwhile is still due.
        transaction.on_commit(wake_guests_worker)
    return len(guests)


def events_owing_places() -> QuerySet[Event]:
    """Events ahead with free places for which people wait: normally there are none."""
    waiting = Guest.objects.filter(event=OuterRef("pk"), state=Guest.State.WAITING)
    return Event.objects.filter(
        Exists(waiting),
        cancelled_at=None,
        ends_at__gt=Now(),
        places_taken__lt=F("capacity"),
    )


def fill_free_places(event: Event, *, acting_user: User | None = None) -> int:
    """Give an event's free places to the first who wait, at most PLACES_BATCH; return how many.

    0 also when somebody else is at work on this list. The sweeper gives the rest, batch after
    batch. QR codes are drawn before the list is locked. Without an acting user the history names
    the process. Not for use inside a transaction.
    """
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING)
    fill_pool(min(event.places_left, waiting[:PLACES_BATCH].count()))
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
    tokens = take_from_pool(len(guests)) if guests else []
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
    notify_guests([(requests[guest.queue_number], guest) for guest in promoted])


def notify_guests(told: list[tuple[GuestRequest, Guest]]) -> None:
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
    push_tickets([build_ticket(r, guest, position=positions.get(guest.pk)) for r, guest in told])


def _positions(waiting: list[Guest]) -> dict[int, int]:
    """Return the places in the waiting line, by guest, of guests of one event. Two queries."""
    if not waiting:
        return {}
    first = min(waiting, key=lambda guest: guest.queue_number)
    line = Guest.objects.filter(event=first.event_id, state=Guest.State.WAITING)
    from_first = line.filter(queue_number__gte=first.queue_number).order_by("queue_number")
    return dict(zip(from_first.values_list("pk", flat=True), count(first.position())))


def push_tickets(tickets: list[Ticket]) -> None:
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
