"""Add guests by hand, reinstate them, move them to another event, and change their promoters.

Each is one transaction that locks the list, as workers do, so the capacity is never exceeded. The
history names the staff member, and one StaffAction says what was done.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from accounts.services import check_email_is_free, is_blocked
from guests.actor import acting_as
from guests.exceptions import GuestError
from guests.models import Event, Guest, GuestRequest, Promoter, StaffAction, Team
from guests.qr.codes import fill_pool
from guests.requests.accepting import find_promoter
from guests.requests.creating import end_due_requests, end_requests
from guests.requests.pushes import push_places_changed
from guests.requests.waiting_list import (
    PLACES_BATCH,
    cancel_locked,
    email_for_proof,
    fill_free_places,
    fill_pool_for_waiting,
    give_places_to_waiting,
)
from notifications.services import queue_emails

log = logging.getLogger(__name__)

# The first key of the advisory locks that make two presses of one form wait for each other.
FORM_LOCK = 0x534E4153


@dataclass(frozen=True)
class NewGuest:
    """A guest as staff write them down. `phone` is E.164, or "" without one.

    `key` names one form: a second press of its button adds nobody.
    """

    name: str
    phone: str = ""
    email: str = ""
    note: str = ""
    language: str = settings.LANGUAGE_CODE
    promoter: Promoter | None = None
    team: Team | None = None
    key: str = ""


def add_guest(event: Event, new: NewGuest, *, acting_user: User, may_wait: bool = False) -> Guest:
    """Give a person a place on an event's list, whether the list is open or not. Return the guest.

    The account with that phone gets the place. Without one an unproven account is made; without a
    phone it is known by its name only. With `may_wait` the guest joins the waiting list when every
    place is taken. The email about the place goes out if the account has an address.

    Raises GuestError: `no_room`, `no_waiting_list`, `places_promised`, `on_list_already`,
    `phone_on_list`, `promoter_not_at_event`, `for_event_over`, `for_event_cancelled`,
    `for_account_refused` or `for_account_with_rights`. Raises AccountError `email_taken`. Not for
    use inside a transaction.
    """
    _prepare(event)
    with acting_as(acting_user):
        if repeated := _guest_of_form(event, new.key):
            return repeated
        account = _account_for(new)
        event = Event.objects.locked(event.pk).get()
        _check_works_at(event, new.promoter, new.team)
        guest = _give_place(event, account, new, may_wait=may_wait)
        _record(guest, StaffAction.Kind.ADDED, acting_user)
    log.info("guest_added_by_staff", extra={"guest_id": guest.pk, "account_id": acting_user.pk})
    return guest


def reinstate_guest(guest: Guest, *, acting_user: User, may_wait: bool = False) -> Guest:
    """Put a cancelled guest on the list again, with a new QR code. Return the guest as stored.

    Name, promoter, team and note stay. Raises GuestError as `add_guest` does, and `not_cancelled`.
    Not for use inside a transaction.
    """
    _prepare(guest.event)
    with acting_as(acting_user):
        account = User.objects.select_for_update(no_key=True).get(pk=guest.account_id)
        event = Event.objects.locked(guest.event_id).get()
        guest = _stored(guest)
        if guest.state != Guest.State.CANCELLED:
            raise GuestError("not_cancelled")
        guest = _give_place(event, account, _as_new(guest), may_wait=may_wait)
        _record(guest, StaffAction.Kind.REINSTATED, acting_user)
    log.info("guest_reinstated", extra={"guest_id": guest.pk, "account_id": acting_user.pk})
    return guest


def move_guest(
    guest: Guest,
    to_event: Event,
    *,
    acting_user: User,
    may_wait: bool = False,
    reason: str = "",
) -> Guest:
    """Cancel a guest at their event, and give them a place at another one. Return the new guest.

    Promoter and team go along if they work at that event. Nothing changes if the other event has
    no place. Raises GuestError as `add_guest` does, `not_placed` for a cancelled guest,
    `has_arrived` and `same_event`. Not for use inside a transaction.
    """
    if guest.event_id == to_event.pk:
        raise GuestError("same_event")
    _prepare(to_event)
    _prepare(guest.event, freed=1)
    with acting_as(acting_user):
        account = User.objects.select_for_update(no_key=True).get(pk=guest.account_id)
        events = _locked_in_order(guest.event_id, to_event.pk)
        guest = _stored(guest)
        if guest.state == Guest.State.CANCELLED:
            raise GuestError("not_placed")
        if guest.checked_in_at:
            raise GuestError("has_arrived")
        here, there = events[guest.event_id], events[to_event.pk]
        new = _with_promoter_at(there, _as_new(guest))
        moved = _give_place(there, account, new, may_wait=may_wait)
        cancel_locked(
            here,
            [guest.pk],
            acting_user=acting_user,
            ending=Guest.Ending.MOVED,
            moved_to=there,
        )
        _record(guest, StaffAction.Kind.MOVED_AWAY, acting_user, f"{there.title} {reason}".strip())
        _record(moved, StaffAction.Kind.MOVED_HERE, acting_user, f"{here.title} {reason}".strip())
    log.info("guest_moved", extra={"guest_id": guest.pk, "to_guest_id": moved.pk})
    return moved


def remove_guests(
    event_id: int, guest_ids: Sequence[int], *, acting_user: User, reason: str = ""
) -> int:
    """Take at most PLACES_BATCH guests off an event's list, as `cancel_guests` does.

    Return how many had a place. `reason` is kept for staff. Not for use inside a transaction.
    """
    fill_pool_for_waiting(event_id, len(guest_ids))
    with acting_as(acting_user):
        event = Event.objects.locked(event_id).get()
        guests = cancel_locked(event, guest_ids, acting_user=acting_user)
        for guest in guests:
            _record(guest, StaffAction.Kind.REMOVED, acting_user, reason)
    return len(guests)


def set_promoter(
    guest: Guest, promoter: Promoter | None, team: Team | None, *, acting_user: User
) -> bool:
    """Attribute a guest to another promoter of the event, or to none. Return whether it changed.

    Raises GuestError `promoter_not_at_event`.
    """
    with acting_as(acting_user):
        stored = Guest.objects.select_for_update(no_key=True).get(pk=guest.pk)
        before = _attribution(stored)
        if (stored.promoter, stored.team) == (promoter, team):
            return False
        _check_works_at(stored.event, promoter, team)
        stored.promoter, stored.team = promoter, team
        stored.save(update_fields=["promoter", "team"])
        detail = f"{before} → {_attribution(stored)}"
        _record(stored, StaffAction.Kind.ATTRIBUTED, acting_user, detail)
    guest.promoter, guest.team = promoter, team
    return True


# Parts --------------------------------------------------------------------------------------------


def _prepare(event: Event, *, freed: int = 0) -> None:
    """Draw QR codes outside of the transaction, and give places that are free to those who wait."""
    if freed == 0:
        fill_free_places(Event.objects.with_database_time().get(pk=event.pk))
    waiting = Guest.objects.filter(event=event, state=Guest.State.WAITING)
    due = GuestRequest.objects.due().filter(event=event)
    fill_pool(1 + waiting[:PLACES_BATCH].count() + due[: settings.GUEST_BATCH_SIZE].count())


def _guest_of_form(event: Event, key: str) -> Guest | None:
    """Return the guest that an earlier press of the same form has added. Later presses wait."""
    if not key:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [FORM_LOCK, key])
    earlier = GuestRequest.objects.filter(event=event, idempotency_key=key)
    return Guest.objects.filter(guestrequest__in=earlier).first()


def _account_for(new: NewGuest) -> User:
    """Return the account with a new guest's phone, locked, or a new account without a proof.

    An account that has no email gets the one that staff wrote. Another email stays as it is.
    """
    account = _locked_account(new.phone)
    if account is None:
        return _made_account(new)
    if account.has_powers:
        raise GuestError("for_account_with_rights")
    if new.email and not account.email:
        check_email_is_free(new.email, beside=account)
        account.email = new.email
        account.save(update_fields=["email"])
    return account


def _locked_account(phone: str) -> User | None:
    if not phone:
        return None
    return User.objects.select_for_update(no_key=True).filter(phone=phone).first()


def _made_account(new: NewGuest) -> User:
    if new.email:
        check_email_is_free(new.email, beside=User())
    first_name, _space, last_name = new.name.partition(" ")
    try:
        with transaction.atomic():
            return User.objects.create_user(
                new.phone or None,  # type: ignore[arg-type]  # the column may be null
                first_name=first_name[:60],
                last_name=last_name[:60],
                email=new.email,
                language=new.language,
            )
    except IntegrityError:
        # The person registered at the same moment.
        account = _locked_account(new.phone)
        if account is None:
            raise
        return account


def _give_place(event: Event, account: User, new: NewGuest, *, may_wait: bool) -> Guest:
    """Make and end a request of an account at a locked event. Return its guest.

    Every guest has a request: their tickets and the order of the waiting list come from it.
    """
    _check_takes_guests(event, account)
    if Guest.objects.filter(event=event, account=account).exclude(state="cancelled").exists():
        raise GuestError("on_list_already")
    if not give_places_to_waiting(event) or not end_due_requests(event, beside=account):
        raise GuestError("places_promised")
    if event.places_left == 0 and not may_wait:
        raise GuestError("no_room")
    if event.is_full_without_waiting_list():
        raise GuestError("no_waiting_list")
    request = _pending_request(event, account, new)
    end_requests(event, [request.pk])
    request.refresh_from_db()
    if request.state == GuestRequest.State.REFUSED:
        raise GuestError(request.refusal)
    if request.guest is None:
        raise GuestError("places_promised")  # Other lists took the QR codes that were drawn.
    guest = request.guest
    guest.note = new.note
    guest.save(update_fields=["note"])
    if guest.is_on_list and account.email and event.withholds_qr_from(account):
        queue_emails([email_for_proof(guest, account)])
    return guest


def _check_takes_guests(event: Event, account: User) -> None:
    if event.cancelled_at:
        raise GuestError("for_event_cancelled")
    if event.is_over():
        raise GuestError("for_event_over")
    if not account.is_active or (account.phone and is_blocked(account.phone)):
        raise GuestError("for_account_refused")


def _pending_request(event: Event, account: User, new: NewGuest) -> GuestRequest:
    """Return a new pending request. One that the account has made already is changed and taken."""
    request = GuestRequest(
        event=event,
        account=account,
        phone=account.phone or "",
        name=new.name,
        promoter=new.promoter,
        team=new.team,
        idempotency_key=new.key,
    )
    if request.insert(due_in=0):
        return request
    own = GuestRequest.objects.pending().select_for_update().get(event=event, account=account)
    own.name, own.promoter, own.team = new.name, new.promoter, new.team
    own.save(update_fields=["name", "promoter", "team"])
    return own


def _check_works_at(event: Event, promoter: Promoter | None, team: Team | None) -> None:
    """Raise GuestError `promoter_not_at_event` for a promoter or team that is not at an event."""
    if promoter is None and team is None:
        return
    if promoter is None:
        raise GuestError("promoter_not_at_event")
    named = event.eventpromoter_set.filter(promoter=promoter, team=team)
    if not named.exists():
        raise GuestError("promoter_not_at_event")


def _with_promoter_at(event: Event, new: NewGuest) -> NewGuest:
    """Return a new guest without the promoter if they do not work at an event."""
    promoter, team = None, None
    if new.promoter:
        try:
            promoter, team = find_promoter(event, promoter_id=new.promoter.pk)
        except GuestError:
            log.info("promoter_left_behind", extra={"event_id": event.pk})
    return NewGuest(name=new.name, note=new.note, promoter=promoter, team=team)


def _as_new(guest: Guest) -> NewGuest:
    return NewGuest(name=guest.name, note=guest.note, promoter=guest.promoter, team=guest.team)


def _stored(guest: Guest) -> Guest:
    """Return a guest as it is now, locked. The caller has locked the event."""
    rows = Guest.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("promoter", "team").get(pk=guest.pk)


def _locked_in_order(*event_ids: int) -> dict[int, Event]:
    """Lock events in the order of their ids, as everything that locks several does."""
    return {event_id: Event.objects.locked(event_id).get() for event_id in sorted(event_ids)}


def _attribution(guest: Guest) -> str:
    names = [str(part) for part in (guest.promoter, guest.team) if part is not None]
    return " · ".join(names) or "–"


def _record(guest: Guest, kind: str, account: User, detail: str = "") -> None:
    """Record what staff did, and have the guest's open pages load again."""
    push_places_changed([guest])
    StaffAction.objects.create(guest=guest, kind=kind, detail=detail[:300], account=account)
