"""The waiting list: cancel guests, promote the first waiting guests, and notify all of them.

The process that frees a place gives it to the first waiting guest. A worker gives free places to
waiting guests before it takes up new requests. The sweeper gives the places that are still free.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from operator import attrgetter

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from guests.actor import acting_as
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import delete_image_after_commit, fill_pool, take_from_pool
from guests.requests.accepting import wake_guests_worker
from guests.requests.columns import columns_of
from guests.requests.pushes import push_places_changed, push_tickets
from guests.requests.tickets import build_ticket
from notifications.services import EmailToQueue, queue_emails
from snap.observability.context import context_of

log = logging.getLogger(__name__)
# The most guests that one transaction promotes or cancels. The list is locked meanwhile.
PLACES_BATCH = 100
# How many of those who wait first hear at once that they have moved up. Pages of the others poll.
TOLD_IN_LINE = 30


def cancel_guests(
    event_id: int,
    guest_ids: Sequence[int],
    *,
    acting_user: User,
    ending: Guest.Ending = Guest.Ending.REMOVED,
) -> int:
    """Cancel at most PLACES_BATCH guests of one event in one transaction. Return how many.

    `ending` says why. Guests that are cancelled already do not count. The QR codes stop working,
    and the first guests on the waiting list get the places. Guests who have given their places back
    are cancelled only when they can no longer undo that. Not for use inside a transaction.
    """
    fill_pool_for_waiting(event_id, len(guest_ids))
    with acting_as(acting_user):
        event = Event.objects.locked(event_id).get()
        return len(cancel_locked(event, guest_ids, acting_user=acting_user, ending=ending))


def fill_pool_for_waiting(event_id: int, places: int) -> None:
    """Draw QR codes for those who get the places that are about to be free."""
    waiting = Guest.objects.filter(event=event_id, state=Guest.State.WAITING)
    fill_pool(waiting[:places].count())


def cancel_locked(
    event: Event,
    guest_ids: Sequence[int],
    *,
    acting_user: User,
    ending: Guest.Ending = Guest.Ending.REMOVED,
    moved_to: Event | None = None,
) -> list[Guest]:
    """Cancel at most PLACES_BATCH guests of an event that the caller has locked.

    Return those that had a place. `moved_to` is the event at which they have one instead.
    """
    assert len(guest_ids) <= PLACES_BATCH
    active = Guest.objects.filter(event=event, pk__in=guest_ids)
    active = active.exclude(state=Guest.State.CANCELLED)
    if ending == Guest.Ending.GIVEN_BACK:
        active = active.due_to_leave()
    # Undoing and checking in change a guest without the lock on the event.
    guests = list(active.select_for_update(no_key=True))
    if not guests:
        return []
    _free_places(event, guests)
    Guest.objects.filter(pk__in=[guest.pk for guest in guests]).update(
        state=Guest.State.CANCELLED,
        qr_token=None,
        ending=ending,
        moved_to=moved_to,
        leaves_at=None,
    )
    push_places_changed(guests)
    for guest in guests:
        log.info("guest_cancelled", extra={"guest_id": guest.pk})
        if guest.qr_token:
            delete_image_after_commit(guest.qr_token)
    if any(guest.state == Guest.State.WAITING for guest in guests):
        _push_line(event)
    if not give_places_to_waiting(event):
        # Another process took the QR codes. If this fails too, the sweeper fills the places.
        transaction.on_commit(lambda: fill_free_places(event, acting_user=acting_user), robust=True)
    # Workers skip a locked list, so requests that arrived meanwhile are still due.
    transaction.on_commit(wake_guests_worker)
    return guests


def _free_places(event: Event, cancelled: list[Guest]) -> None:
    freed = 0
    for guest in cancelled:
        if guest.is_on_list:
            freed += 1
    Event.objects.filter(pk=event.pk).update(places_taken=F("places_taken") - freed)
    event.places_taken -= freed


def events_with_unfilled_places() -> QuerySet[Event]:
    """Return events that have free places and a waiting list. Normally there are none.

    Events that are cancelled or over are left out, and those whose waiting list has ended.
    """
    waiting = Guest.objects.filter(event=OuterRef("pk"), state=Guest.State.WAITING)
    return Event.objects.filter(
        Exists(waiting),
        Q(waiting_list_ends_at=None) | Q(waiting_list_ends_at__gt=Now()),
        cancelled_at=None,
        ends_at__gt=Now(),
        places_taken__lt=F("capacity"),
    )


def fill_free_places(event: Event, *, acting_user: User | None = None) -> int:
    """Give free places to the first waiting guests, at most PLACES_BATCH. Return how many.

    The result is 0 while another process holds the list's lock. The sweeper gives the rest, batch
    after batch. QR codes are drawn before the list is locked. Without `acting_user` the history
    names the process. Not for use inside a transaction.
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
    """Promote the first PLACES_BATCH waiting guests while there are free places.

    Return False if more guests wait for free places, or if the pool ran out of QR codes. New
    requests must not overtake those guests. Nobody is promoted after the event's waiting list has
    ended. The caller has locked the event.
    """
    if event.cancelled_at or event.waiting_list_has_ended() or not event.places_left:
        return True
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING, leaves_at=None)
    waiting = waiting.order_by("queue_number")
    first = list(waiting[: min(event.places_left, PLACES_BATCH)])
    promoted = first[: _promote(first)]
    if promoted:
        _notify_promoted(event, promoted)
        _push_line(event)
    has_more = len(first) == PLACES_BATCH and event.places_left > 0
    return len(promoted) == len(first) and not has_more


def _push_line(event: Event) -> None:
    """Make the pages of the first TOLD_IN_LINE waiting guests load again. One query."""
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING)
    push_places_changed(waiting.order_by("queue_number")[:TOLD_IN_LINE])


def _promote(guests: list[Guest]) -> int:
    """Put guests on the list, in order, until the pool has no more QR codes. Return how many.

    One statement updates all guests.
    """
    if not guests:
        return 0
    tokens = take_from_pool(len(guests))
    promoted = guests[: len(tokens)]
    for guest, token in zip(promoted, tokens, strict=True):
        guest.state = Guest.State.ON_LIST
        guest.qr_token = token
        guest.listings += 1
        # As the database's trigger sets it.
        guest.is_promoted = True
    if promoted:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE guests_guest AS guest
                SET state = 'on_list', qr_token = given.token, listings = given.listings
                FROM unnest(%s::bigint[], %s::text[], %s::smallint[]) AS given (id, token, listings)
                WHERE guest.id = given.id
                """,
                columns_of(promoted, "pk", "qr_token", "listings"),
            )
    return len(promoted)


def _notify_promoted(event: Event, promoted: list[Guest]) -> None:
    event.places_taken += len(promoted)
    Event.objects.filter(pk=event.pk).update(places_taken=event.places_taken)
    (request_ids,) = columns_of(promoted, "queue_number")
    requests = GuestRequest.objects.select_related("account").in_bulk(request_ids)
    for request in requests.values():
        request.event = event
    notify_guests([(requests[guest.queue_number], guest) for guest in promoted])


def notify_guests(placed: Sequence[tuple[GuestRequest, Guest]]) -> None:
    """Queue the email about each guest's place, and push their tickets after the commit.

    The requests have their event and account loaded. A guest whose QR code waits for a proof gets
    no QR email yet. If the place came from the waiting list, an email asks for the proof.
    """
    emails = []
    waiting = []
    for request, guest in placed:
        is_withheld = guest.is_on_list and request.event.withholds_qr_from(request.account)
        if request.account.email and not is_withheld:
            emails.append(email_about(guest, request.account, request))
        elif request.account.email and guest.is_promoted:
            emails.append(email_for_proof(guest, request.account, request))
        if guest.state == Guest.State.WAITING:
            waiting.append(guest)
    queue_emails(emails)
    positions = _positions(waiting)
    tickets = []
    for request, guest in placed:
        tickets.append(build_ticket(request, guest, position=positions.get(guest.pk)))
    push_tickets(tickets, [request for request, _ in placed])


def _positions(waiting: list[Guest]) -> dict[int, int]:
    """Return positions on the waiting list by guest id. The guests have one event. Two queries."""
    if not waiting:
        return {}
    first = min(waiting, key=attrgetter("queue_number"))
    line = Guest.objects.filter(event=first.event_id, state=Guest.State.WAITING)
    from_first = line.filter(queue_number__gte=first.queue_number).order_by("queue_number")
    return dict(zip(from_first.values_list("pk", flat=True), count(first.position())))


def email_about(guest: Guest, account: User, request: GuestRequest | None = None) -> EmailToQueue:
    """Return the email about a guest's place: `qr_code` or `waitlisted`.

    Its cause has the number of listings, so each time a place is given one email is sent. Log lines
    about it name the `request` that the place ends, by default what this process does now.
    """
    kind = "waitlisted"
    if guest.is_on_list:
        kind = "qr_code"
    cause = f"guest:{guest.pk}/{guest.listings}"
    email = EmailToQueue(kind=kind, cause=cause, to=account.email, language=account.language)
    if request is None:
        return email
    return replace(email, context=context_of(request))


def email_for_proof(
    guest: Guest, account: User, request: GuestRequest | None = None
) -> EmailToQueue:
    """Return the email to a guest who got a place while away, and whose QR code waits for a proof.

    Who asks for a place is on the page, which asks for the proof itself.
    """
    email = email_about(guest, account, request)
    return replace(email, kind="place_to_prove")
