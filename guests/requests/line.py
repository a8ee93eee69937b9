"""The line in which requests past a limit wait for their turn."""

from django.conf import settings

from guests.models import Event
from snap.control.modes import paced
from snap.limits.counters import reserve_turns
from snap.limits.layers import Layer


def reserve_turn(event: Event) -> float:
    """Count a request that is about to be accepted. Return the seconds until its turn.

    The limits are the event's `limit_per_minute` (LIMIT_EVENT without one) and LIMIT_SYSTEM, or a
    share of both while a mode is on. The result is 0 below both. One round trip to Redis.
    """
    limit = event.limit_per_minute or settings.LIMIT_EVENT
    event_layer = Layer("event", str(event.pk), paced(limit))
    system_layer = Layer("system", "", paced(settings.LIMIT_SYSTEM))
    return reserve_turns([event_layer, system_layer])
