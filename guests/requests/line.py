"""Crowds: who stands in line past a limit, and whose network is a venue's."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from guests.models import Event
from snap.limits.counters import join_line
from snap.limits.layers import Layer
from snap.local_cache import LocalCache
from snap.resilience.connections import deadline
from snap.resilience.database import DatabaseAwayError, guarded_database

# Seconds for which a process believes what it has read of venues' networks, and waits for them.
FRESH_FOR = 30.0
READ_WITHIN = 0.5


def seconds_in_line(event: Event) -> float:
    """Count a request that is about to be accepted, and return the seconds until its turn.

    0 while the event and the system are under their limits. One round trip to Redis.
    """
    limit = event.limit_per_minute or settings.LIMIT_EVENT
    return join_line(
        [Layer("event", str(event.pk), limit), Layer("system", "", settings.LIMIT_SYSTEM)]
    )


class Venues:
    """The networks of the venues of published events ahead, as this process has read them last."""

    def __init__(self) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        # Holds one value while the networks count as fresh.
        self._fresh: LocalCache[str, str] = LocalCache(size=1, seconds=lambda: FRESH_FOR)

    def have(self, address: str) -> bool:
        """Say whether an address lies in a venue's network. One query every FRESH_FOR seconds."""
        if self._fresh.add("networks", "fresh"):
            self._read()
        try:
            sought = ip_address(address)
        except ValueError:
            return False
        return any(sought in network for network in self._networks)

    def _read(self) -> None:
        named: QuerySet[Event, str] = (
            Event.objects.published()
            .filter(ends_at__gt=Now())
            .exclude(venue_networks="")
            .values_list("venue_networks", flat=True)
        )
        try:
            with guarded_database(), deadline(READ_WITHIN):
                words = " ".join(named).split()
        except DatabaseAwayError:
            return
        self._networks = [ip_network(word) for word in words]


venues = Venues()
