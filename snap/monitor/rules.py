"""When the load monitor begins and ends a mode. Pure functions.

A mode begins when a figure is above its threshold. It ends when all its figures were below WELL of
their thresholds for WELL_SECONDS. Two changes are at least CHANGE_SECONDS apart. So a load that
goes up and down around a threshold does not switch the mode on and off.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from django.conf import settings

from snap.control.modes import EMERGENCY, QUEUE
from snap.monitor.connections import connection_limit
from snap.monitor.samples import are_enough

# The share of a threshold below which a figure counts as well. A mode itself lowers the load. Were
# the share close to 1, the end of a mode would bring the load that begins it again.
WELL = 0.6
# Seconds for which the figures must be well: two windows, so one quiet window ends nothing.
WELL_SECONDS = 60.0
# Seconds between two changes of a mode, at least: the window of the figures.
CHANGE_SECONDS = 30.0


@dataclass(frozen=True)
class Figures:
    """What the monitor has measured over all hosts.

    `requests` are those of the last half minute, and so are `response_ms` (19 of 20 requests took
    no longer) and `error_percent`. `memory` has the megabytes of the largest process. Requests are
    not measured (`has_metrics`) while no host can read its folder of metrics.
    """

    hosts: int = 0
    has_metrics: bool = True
    requests: int = 0
    response_ms: float = 0.0
    error_percent: float = 0.0
    connections: int = 0
    max_connections: int = 0
    queue_depth: int = 0
    memory: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the figures of this release or another one."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})


@dataclass(frozen=True)
class Load:
    """A figure as a share of its threshold: above 1 the mode begins."""

    share: float
    figure: str
    value: float

    @property
    def reason(self) -> str:
        """The figure as a change of a mode stores it. `ModeChange.why` says it in words."""
        return f"{self.figure} {self.value:.1f}"


@dataclass(frozen=True)
class Standing:
    """What the monitor has decided about a mode, and when. Times are seconds since 1970."""

    is_on: bool = False
    changed_at: float = 0.0
    # Since when the figures are well.
    well_since: float | None = None


def load_of(mode: str, figures: Figures) -> Load:
    """Return the figure of a mode that is closest to its threshold, or furthest above it."""
    loads = {EMERGENCY: _slowness, QUEUE: _crowd}[mode](figures)
    return max(loads, key=lambda load: load.share)


def _slowness(figures: Figures) -> list[Load]:
    """Return the loads that emergency mode is about. Few requests decide nothing.

    Without metrics the mode neither begins nor ends.
    """
    if not figures.has_metrics:
        return [Load(WELL, "requests", 0)]
    if not are_enough(figures.requests):
        return [Load(0.0, "requests", figures.requests)]
    slow, failing = settings.MONITOR_RESPONSE_MS, settings.MONITOR_ERROR_PERCENT
    return [
        Load(figures.response_ms / slow, "response_ms", figures.response_ms),
        Load(figures.error_percent / failing, "error_percent", figures.error_percent),
    ]


def _crowd(figures: Figures) -> list[Load]:
    limit = connection_limit(figures.max_connections)
    return [Load(figures.connections / limit, "connections", figures.connections)]


def next_standing(standing: Standing, share: float, now: float) -> Standing:
    """Return what the monitor decides about a mode under a load. `share` is that of `load_of`."""
    # The clock of a database can jump back, for example when a replica takes over.
    well_since = None
    if share < WELL:
        well_since = min(standing.well_since or now, now)
    standing = replace(standing, well_since=well_since)
    if 0 <= now - standing.changed_at < CHANGE_SECONDS:
        return standing
    has_recovered = well_since is not None and now - well_since >= WELL_SECONDS
    if standing.is_on and has_recovered:
        return replace(standing, is_on=False, changed_at=now)
    if not standing.is_on and share > 1:
        return replace(standing, is_on=True, changed_at=now)
    return standing
