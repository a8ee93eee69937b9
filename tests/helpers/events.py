"""Events in each state of their list."""

from datetime import timedelta

from django.utils import timezone

from guests.models import Event
from tests.factories import make_event, make_guest

HOUR = timedelta(hours=1)


def open_event() -> Event:
    """Make an event with two places left, which its page shows."""
    return make_event(shows_places_left=True, capacity=2)


def event_with_waiting_list() -> Event:
    """Make an event whose places are taken, so that guests join its waiting list."""
    return make_guest(make_event(capacity=1)).event


def full_event() -> Event:
    """Make an event whose places are taken, without a waiting list."""
    return make_guest(make_event(capacity=1, has_waiting_list=False)).event


def future_event() -> Event:
    """Make an event whose list opens in an hour."""
    return make_event(list_opens_at=timezone.now() + HOUR)


def closed_event() -> Event:
    """Make a coming event whose list has closed."""
    now = timezone.now()
    return make_event(list_opens_at=now - 2 * HOUR, list_closes_at=now - HOUR)


def past_event() -> Event:
    now = timezone.now()
    times = {"list_opens_at": now - 3 * HOUR, "starts_at": now - 2 * HOUR, "ends_at": now - HOUR}
    return make_event(**times, list_closes_at=now - 2 * HOUR)


def cancelled_event() -> Event:
    return make_event(cancelled_at=timezone.now())
