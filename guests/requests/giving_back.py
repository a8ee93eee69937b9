"""Holders give their places back, and undo that within GIVE_BACK_SECONDS.

Until then the place is kept, and its QR code opens the door: checking a guest in keeps the place.
After that the sweeper frees it by the way in which staff cancel guests.
"""

import logging

from accounts.models import User
from guests.actor import acting_as
from guests.models import Guest
from guests.requests.pushes import push_places_changed
from guests.requests.waiting_list import PLACES_BATCH, cancel_guests

log = logging.getLogger(__name__)


def give_place_back(guest: Guest) -> bool:
    """Give a holder's place back. Return False for one that is checked in, cancelled or given back.

    The history names the guest's account.
    """
    with acting_as(guest.account):
        is_given_back = guest.give_back()
        push_places_changed([guest])
    if is_given_back:
        log.info("place_given_back", extra={"guest_id": guest.pk})
    return is_given_back


def keep_place(guest: Guest) -> bool:
    """Undo giving a place back. Return whether the guest still has the place."""
    with acting_as(guest.account):
        is_kept = guest.keep()
        push_places_changed([guest])
    if is_kept:
        log.info("place_kept", extra={"guest_id": guest.pk})
    return is_kept


def free_places_given_back() -> int:
    """Free at most PLACES_BATCH places whose holders can no longer undo. Return how many are due.

    Each is a transaction of its own, in which the history names the guest's account.
    """
    due = Guest.objects.due_to_leave().order_by("leaves_at", "pk")
    rows = list(due.values_list("event", "pk", "account")[:PLACES_BATCH])
    for event_id, guest_id, account_id in rows:
        cancel_guests(
            event_id,
            [guest_id],
            acting_user=User(pk=account_id),
            ending=Guest.Ending.GIVEN_BACK,
        )
    return len(rows)
