"""Asking for a place on a list, giving a place back, and what follows from either."""

import logging
from datetime import datetime
from itertools import count

from django.conf import settings
from django.db import transaction
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
from .tickets import Ticket, describe, is_withheld

log = logging.getLogger(__name__)

wake_guests_worker = WakeUp("guests.tasks.create_guests", interval=settings.WAKE_UP_INTERVAL)

duplicate_requests = Counter(
    "duplicate_guest_requests", "Requests by somebody who had one for that event already"
)


def find_promoter(
    event: Event, *, code: str = "", promoter_id: int | None = None, team_id: int | None = None
) -> tuple[Promoter | None, Team | None]:
    """Return the promoter and team a request is attributed to, both None when none was named.

    Raises GuestError `promoter_not_at_event` for a promoter who does not work at the event, or not
    for that team.
    """
    if not code and promoter_id is None:
        if team_id is not None:
            raise GuestError("promoter_not_at_event")
        return None, None
    at_event = EventPromoter.objects.filter(event=event).select_related("promoter", "team")
    at_event = (
        at_event.filter(promoter__code=code) if code else at_event.filter(promoter=promoter_id)
    )
    if team_id is not None:
        at_event = at_event.filter(team=team_id)
    found = at_event.order_by("pk").first()
    if found is None:
        raise GuestError("promoter_not_at_event")
    return found.promoter, found.team


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
    # Of two at once the database lets one in; the other one's ticket is then the first one's.
    if not request.insert(due_in=seconds_in_line(event)):
        duplicate_requests.inc()
        if stored := latest_request(event, account):
            return stored
        raise GuestError("key_reused")  # For another event, at the same moment.
    log.info("guest_request_accepted", extra={"ticket_id": str(request.ticket_id)})
    transaction.on_commit(wake_guests_worker)
    return request


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
    qr.fill_pool(1)
    with acting_as(acting_user):
        event = Event.objects.locked(guest.event_id).get()
        guest.refresh_from_db()
        if guest.state == Guest.State.CANCELLED:
            return
        if guest.is_on_list:
            Event.objects.filter(pk=event.pk).update(places_taken=F("places_taken") - 1)
            event.places_taken -= 1
        token, guest.qr_token, guest.state = guest.qr_token, None, Guest.State.CANCELLED
        guest.save(update_fields=["qr_token", "state"])
        if token:
            transaction.on_commit(lambda: qr.delete_image(token), robust=True)
        log.info("guest_cancelled", extra={"guest_id": guest.pk})
        if not give_places_to_waiting(event):
            # Somebody else took the code. Should this fail as well, the sweeper goes on.
            transaction.on_commit(
                lambda: fill_free_places(event, acting_user=acting_user), robust=True
            )
        # Workers leave a list alone while it is locked: what came meanwhile is still due.
        transaction.on_commit(wake_guests_worker)


def fill_free_places(event: Event, *, acting_user: User | None = None) -> None:
    """Give an event's free places to those who wait, in order.

    Without an acting user the history names the process.
    """
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING)
    qr.fill_pool(min(event.places_left, waiting.count()))
    with acting_as(acting_user) if acting_user else transaction.atomic():
        give_places_to_waiting(Event.objects.locked(event.pk).get())
        transaction.on_commit(wake_guests_worker)


def give_places_to_waiting(event: Event) -> bool:
    """Move the first in the waiting line up while there are places. The event must be locked.

    Return whether all got one who can: False when QR codes ran out, and nobody may overtake them.
    """
    if event.cancelled_at or event.is_over() or not event.places_left:
        return True
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING).order_by("queue_number")
    first = list(waiting[: event.places_left])
    lucky = []
    for guest, token in zip(first, qr.take_from_pool(len(first)), strict=False):
        guest.state, guest.qr_token, guest.listings = Guest.State.ON_LIST, token, guest.listings + 1
        guest.save(update_fields=["state", "qr_token", "listings"])
        lucky.append(guest)
    if lucky:
        _tell_the_lucky(event, lucky)
    return len(lucky) == len(first)


def _tell_the_lucky(event: Event, lucky: list[Guest]) -> None:
    event.places_taken += len(lucky)
    Event.objects.filter(pk=event.pk).update(places_taken=event.places_taken)
    requests = GuestRequest.objects.select_related("event", "account").in_bulk(
        [guest.queue_number for guest in lucky]
    )
    tell_guests([(requests[guest.queue_number], guest) for guest in lucky])


def tell_guests(told: list[tuple[GuestRequest, Guest]]) -> None:
    """Queue the email about each guest's place, and tell their open pages after the commit.

    Requests come with event and account.
    """
    queue_emails(
        [
            email_about(guest, request.account)
            for request, guest in told
            if request.account.email and not (guest.is_on_list and is_withheld(request))
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
