"""What this host's sweeper measures: the load of the host's processes in the last five minutes.

The readings go on while the database is away. `store` writes them once it is back.
"""

import logging
from dataclasses import dataclass, field
from socket import gethostname
from time import monotonic

from django.conf import settings
from prometheus_client import Gauge

from snap.local_cache import on_reset
from snap.models import HostReading
from snap.monitor.samples import LONG_WINDOW, Sample, error_share, traffic
from snap.observability.readings import Reading, read_host

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
# The share of MEMORY_WARNING_MB below which a process may be named in the log again.
LOW_MEMORY = 0.9

error_rate = Gauge(
    "error_rate_percent",
    "Percent of requests in five minutes that ended with a 5xx",
    multiprocess_mode="livemostrecent",
)


@dataclass(frozen=True)
class _Taken:
    """The latest reading, the samples before it by the time at which they ended, newest last."""

    reading: Reading
    at: float
    samples: tuple[tuple[float, Sample], ...] = ()

    def then(self, reading: Reading, at: float) -> "_Taken":
        newest = (at, Sample.between(self.reading, reading))
        recent = [each for each in self.samples if at - each[0] < LONG_WINDOW]
        return _Taken(reading, at, (*recent, newest))

    def aged_samples(self) -> list[Sample]:
        now = monotonic()
        return [sample.aged(now - at) for at, sample in self.samples]


@dataclass
class _Host:
    """The state of this process. One thread replaces values; others read them."""

    taken: _Taken | None = None
    stored: _Taken | None = None
    # The processes that the log has named because of their memory.
    large: frozenset[str] = field(default_factory=frozenset)


_host = _Host()


def take_reading() -> None:
    """Read the counters of this host's processes, and keep the difference to the last reading.

    Sets `error_rate_percent`, and names large processes in the log. Takes some milliseconds and
    needs no server.
    """
    reading, at = read_host(), monotonic()
    if _host.taken is None:
        _host.taken = _Taken(reading, at)
    else:
        _host.taken = _host.taken.then(reading, at)
    error_rate.set(error_share(traffic(_host.taken.aged_samples(), LONG_WINDOW)))
    _warn_of_memory(reading)


def _warn_of_memory(reading: Reading) -> None:
    """Log each process above MEMORY_WARNING_MB once, until it has become smaller again."""
    limit = settings.MEMORY_WARNING_MB * MEGABYTE
    large = set()
    for process, used in reading.memory.items():
        if used > limit and process not in _host.large:
            about = {"of_process": process, "megabytes": used // MEGABYTE}
            log.warning("process_memory_high", extra=about)
        is_still_large = process in _host.large and used > limit * LOW_MEMORY
        if used > limit or is_still_large:
            large.add(process)
    _host.large = frozenset(large)


def store_reading() -> None:
    """Store the latest reading and its samples in this host's row, unless that has it already."""
    taken = _host.taken
    if taken is None or taken is _host.stored:
        return
    samples = [sample.to_json() for sample in taken.aged_samples()]
    HostReading.objects.store(gethostname(), taken.reading.to_json() | {"samples": samples})
    _host.stored = taken


def _forget() -> None:
    _host.taken = _host.stored = None
    _host.large = frozenset()


on_reset(_forget)
