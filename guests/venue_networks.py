"""The networks of venues, from which a crowd may come."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.db.models import QuerySet
from django.db.models.functions import Now

from guests.models import Event
from snap.local_cache import LocalCache
from snap.resilience.connections import deadline
from snap.resilience.database import DatabaseUnavailableError, guarded_database

REFRESH_SECONDS = 30.0
READ_SECONDS = 0.5  # the deadline of the query


class VenueNetworks:
    """The venue networks of published events that are not over, as this process last read them.

    While the database is away, the networks of the last read stay in use.
    """

    def __init__(self) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        # It holds one value until the next read is due.
        self._fresh: LocalCache[str, str] = LocalCache(size=1, seconds=lambda: REFRESH_SECONDS)

    def contain(self, address: str) -> bool:
        """Return whether an address is in one of the networks. One query in REFRESH_SECONDS."""
        if self._fresh.add("networks", "fresh"):
            self._read()
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def _read(self) -> None:
        texts: QuerySet[Event, str] = (
            Event.objects.published()
            .filter(ends_at__gt=Now())
            .exclude(venue_networks="")
            .values_list("venue_networks", flat=True)
        )
        try:
            with guarded_database(), deadline(READ_SECONDS):
                words = " ".join(texts).split()
        except DatabaseUnavailableError:
            return
        self._networks = list(map(ip_network, words))


venue_networks = VenueNetworks()
