"""Limits of a request, and the decision about them."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from django.conf import settings

from snap.local_cache import on_reset

WINDOW = 60  # seconds in which a layer counts requests


@lru_cache(maxsize=8192)
def hash_of(value: str) -> str:
    """Return a short keyed hash, so that Redis stores neither phones nor addresses."""
    key = settings.SECRET_KEY.encode()[:64]
    return blake2b(value.encode(), digest_size=12, key=key).hexdigest()


on_reset(hash_of.cache_clear)


@dataclass(frozen=True, slots=True)
class Layer:
    """`limit` requests a minute for one subject, such as an address. Only its hash is stored."""

    name: str
    subject: str
    limit: int

    @property
    def key(self) -> str:
        return f"limit:{self.name}:{hash_of(self.subject)}"


@dataclass(frozen=True, slots=True)
class DistinctLimit:
    """`limit` different values for one subject in LIMIT_PHONES_WINDOW seconds.

    Only hashes of the subject and the values are stored.
    """

    name: str
    subject: str
    limit: int
    value: str

    @property
    def key(self) -> str:
        return f"distinct:{self.name}:{hash_of(self.subject)}"


@dataclass(frozen=True, slots=True)
class LayerStatus:
    """The state of a limit after a request. `reset`: seconds until `remaining` grows."""

    layer: Layer | DistinctLimit
    allowed: bool
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may pass, each limit's status, and the seconds until a block ends."""

    statuses: tuple[LayerStatus, ...]
    blocked_for: int = 0
    # Only this process counted the request, because Redis was away or was not asked.
    is_local: bool = False

    @property
    def allowed(self) -> bool:
        return not self.blocked_for and not self.refusals

    @property
    def refusals(self) -> list[LayerStatus]:
        """Return the statuses of the limits that refuse the request."""
        return [status for status in self.statuses if not status.allowed]

    @property
    def retry_after(self) -> int:
        """Return the seconds after which all limits and blocks let a request pass, at least 1."""
        wait = max(1, self.blocked_for)
        for status in self.refusals:
            wait = max(wait, status.reset)
        return wait

    @property
    def refused_by(self) -> list[str]:
        """Return the names of the limits that refuse the request; a block is named `route`."""
        names = [status.layer.name for status in self.refusals]
        if self.blocked_for:
            names.append("route")
        return names

    @property
    def refused_by_distinct_limit(self) -> bool:
        return any(isinstance(status.layer, DistinctLimit) for status in self.refusals)
