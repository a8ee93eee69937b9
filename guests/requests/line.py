"""The line in which requests past a limit wait for their turn."""

from django.conf import settings
from django.db.models.functions import Now

from guests.models import Event, GuestRequest
from snap.control.modes import paced
from snap.control.switches import ADMISSION_PACING, is_on
from snap.limits.counters import reserve_turns
from snap.limits.layers import Layer


def reserve_turn(event: Event) -> float:
    """Count a request that is about to be accepted. Return the seconds until its turn.

    The limits are the event's `limit_per_minute` (LIMIT_EVENT without one) and LIMIT_SYSTEM, or a
    share of both while a mode is on. The result is 0 below both, and while staff have turned the
    line off. One round trip to Redis.
    """
    if not is_on(ADMISSION_PACING):
        return 0.0
    limit = event.limit_per_minute or settings.LIMIT_EVENT
    event_layer = Layer("event", str(event.pk), paced(limit))
    system_layer = Layer("system", "", paced(settings.LIMIT_SYSTEM))
    return reserve_turns([event_layer, system_layer])


def end_line() -> int:
    """Make all requests in line due while staff have turned the line off. Return how many."""
    if is_on(ADMISSION_PACING):
        return 0
    in_line = GuestRequest.objects.pending().filter(attempts=0, next_attempt_at__gt=Now())
    return in_line.update(next_attempt_at=Now())
