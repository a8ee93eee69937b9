"""What the processes of this host have counted, as one reading, and what two readings say.

The sweeper takes a reading every few seconds. The difference of two is the load in between.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import psutil
from prometheus_client.metrics_core import Metric

from snap.metering import slots
from snap.metering.collecting import collect
from snap.observability.request_metrics import NOT_OF_VISITORS

# Counters are below this.
LARGEST = 1e15


@dataclass(frozen=True)
class Reading:
    """The counters of this host's processes at a time, in seconds since 1970.

    Counters only grow, unless the folder of metrics was emptied. Requests are those of visitors:
    without health checks, metrics and static files.
    """

    at: float
    requests: float = 0.0
    # Requests that ended with a 5xx.
    errors: float = 0.0
    duration_sum_ms: float = 0.0
    # How many requests took at most so many milliseconds, by the bound as text: `5000.0`, `+Inf`.
    duration_ms: dict[str, float] = field(default_factory=dict)
    # Resident memory of each process in bytes, by its name: `web-1`.
    memory: dict[str, int] = field(default_factory=dict)
    # Open websockets.
    sockets: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the reading as values for a JSON field."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the reading of a JSON field.

        Another release may have written it: what this one does not understand counts as 0.
        """
        stored = _dict(values)
        durations = _numbers(stored.get("duration_ms"))
        memory = _numbers(stored.get("memory"))
        return cls(
            at=_number(stored.get("at")),
            requests=_number(stored.get("requests")),
            errors=_number(stored.get("errors")),
            duration_sum_ms=_number(stored.get("duration_sum_ms")),
            duration_ms={bound: count for bound, count in durations.items() if _is_bound(bound)},
            memory={process: int(size) for process, size in memory.items()},
            sockets=int(_number(stored.get("sockets"))),
        )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and 0 <= value < LARGEST:
        return value
    return 0.0


def _numbers(value: Any) -> dict[str, float]:
    return {name: _number(each) for name, each in _dict(value).items()}


def _is_bound(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False


def read_host() -> Reading:
    """Return what the processes of this host have counted until now. Takes some milliseconds."""
    samples = {metric.name: metric for metric in collect()}
    requests = errors = 0.0
    for labels, value in _samples(samples.get("http_requests"), "http_requests_total"):
        if labels["route"] in NOT_OF_VISITORS:
            continue
        requests += value
        if labels["status"].startswith("5"):
            errors += value
    durations: dict[str, float] = {}
    duration_sum = 0.0
    histogram = samples.get("http_request_duration_ms")
    for labels, value in _samples(histogram, "http_request_duration_ms_bucket"):
        if labels["route"] not in NOT_OF_VISITORS:
            durations[labels["le"]] = durations.get(labels["le"], 0.0) + value
    for labels, value in _samples(histogram, "http_request_duration_ms_sum"):
        if labels["route"] not in NOT_OF_VISITORS:
            duration_sum += value
    sockets = sum(value for _, value in _samples(samples.get("websockets_open"), "websockets_open"))
    return Reading(
        at=time.time(),
        requests=requests,
        errors=errors,
        duration_sum_ms=duration_sum,
        duration_ms=durations,
        memory=read_memory(),
        sockets=int(sockets),
    )


def _samples(metric: Metric | None, name: str) -> Iterable[tuple[dict[str, str], float]]:
    if metric is None:
        return
    for sample in metric.samples:
        if sample.name == name:
            yield sample.labels, sample.value


def read_memory() -> dict[str, int]:
    """Return the resident memory of each process of this host in bytes, by its name.

    Memory that processes share counts for each of them.
    """
    found = {}
    for name, pid in slots.living():
        try:
            found[name] = psutil.Process(pid).memory_info().rss
        except (psutil.Error, ValueError):
            continue
    return found


# What two readings say --------------------------------------------------------------------------


def requests_between(earlier: Reading, later: Reading) -> float:
    """Return how many requests ended between two readings."""
    return _grown(earlier.requests, later.requests)


def requests_per_second(earlier: Reading, later: Reading) -> float:
    """Return the requests per second between two readings; 0 without a time between them."""
    seconds = later.at - earlier.at
    if seconds <= 0:
        return 0.0
    return requests_between(earlier, later) / seconds


def error_percent(earlier: Reading, later: Reading) -> float:
    """Return the percentage of requests that ended with a 5xx; 0 without requests."""
    requests = requests_between(earlier, later)
    if not requests:
        return 0.0
    return min(100.0, 100 * _grown(earlier.errors, later.errors) / requests)


def average_ms(earlier: Reading, later: Reading) -> float:
    """Return the mean duration of the requests in milliseconds; 0 without requests."""
    requests = _grown(earlier.duration_ms.get("+Inf", 0.0), later.duration_ms.get("+Inf", 0.0))
    if not requests:
        return 0.0
    return _grown(earlier.duration_sum_ms, later.duration_sum_ms) / requests


def percentile_ms(earlier: Reading, later: Reading, share: float = 0.95) -> float:
    """Return within how many milliseconds a share of the requests ended; 0 without requests.

    Inside a bucket the durations count as spread evenly, as in Prometheus. Above the last bound the
    result is that bound.
    """
    counts = sorted(
        (float(bound), _grown(earlier.duration_ms.get(bound, 0.0), count))
        for bound, count in later.duration_ms.items()
    )
    if not counts or not counts[-1][1]:
        return 0.0
    wanted = counts[-1][1] * share
    below, bound_below = 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return bound_below
            inside = (wanted - below) / (count - below) if count > below else 1.0
            return bound_below + (bound - bound_below) * inside
        below, bound_below = count, bound
    return bound_below


def total(readings: Iterable[Reading]) -> Reading:
    """Return the readings of several hosts as one. Processes keep the name of their own host."""
    every = list(readings)
    durations: dict[str, float] = {}
    for each in every:
        for bound, count in each.duration_ms.items():
            durations[bound] = durations.get(bound, 0.0) + count
    return Reading(
        at=max((each.at for each in every), default=0.0),
        requests=sum(each.requests for each in every),
        errors=sum(each.errors for each in every),
        duration_sum_ms=sum(each.duration_sum_ms for each in every),
        duration_ms=durations,
        sockets=sum(each.sockets for each in every),
    )


def _grown(earlier: float, later: float) -> float:
    """Return by how much a counter has grown. A counter that is smaller has begun again at 0."""
    if later < earlier:
        return later
    return later - earlier
