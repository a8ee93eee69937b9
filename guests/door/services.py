"""Check guests in at the door, and undo that. The door's page and admin call these functions."""

import logging

from accounts.models import User
from guests.actor import acting_as
from guests.exceptions import GuestError
from guests.models import Guest
from guests.requests.pushes import push_places_changed
from snap.control.switches import CHECK_IN, is_on

log = logging.getLogger(__name__)


def check_in_guest(guest: Guest, *, acting_user: User) -> Guest:
    """Note that a guest has come in. Return the guest as stored.

    The history names the staff member. Raises GuestError: `check_in_off` while staff have turned
    check-in off, `for_event_cancelled`, `not_on_list`, or `has_arrived` for a guest who is inside
    already, for example on a screenshot of the same code.
    """
    if not is_on(CHECK_IN):
        raise GuestError("check_in_off")
    with acting_as(acting_user):
        is_new = guest.check_in()
        stored = Guest.objects.select_related("event").get(pk=guest.pk)
        if not is_new:
            raise GuestError(_refusal_of(stored))
        push_places_changed([stored])
    log.info("guest_checked_in", extra={"guest_id": guest.pk, "account_id": acting_user.pk})
    return stored


def undo_check_in(guest: Guest, *, acting_user: User) -> Guest:
    """Note that a guest is not inside after all. Return the guest as stored.

    It is possible while check-in is turned off, too. Raises GuestError `not_here`.
    """
    with acting_as(acting_user):
        if not guest.undo_check_in():
            raise GuestError("not_here")
        stored = Guest.objects.select_related("event").get(pk=guest.pk)
        push_places_changed([stored])
    log.info("check_in_undone", extra={"guest_id": guest.pk, "account_id": acting_user.pk})
    return stored


def _refusal_of(guest: Guest) -> str:
    """Return the code of the reason for which a guest was not checked in."""
    if guest.event.cancelled_at:
        return "for_event_cancelled"
    if guest.checked_in_at and guest.is_on_list:
        return "has_arrived"
    return "not_on_list"
