"""What a host did in the last minutes: the differences of its readings. Pure functions.

A sample is a Reading whose counters count only what happened since the reading before. Samples of
several hosts add up, also when a host has just started or ended.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings

from snap.observability.readings import Reading, error_percent, percentile_ms, total

# Seconds on which the monitor decides, at least. They have three readings by default.
WINDOW = 30.0
READINGS = 3
# Seconds over which `error_rate_percent` is taken.
LONG_WINDOW = 300.0
# The share of requests whose response time is compared with the threshold.
SHARE = 0.95

NOTHING = Reading(at=0.0)


@dataclass(frozen=True)
class Sample:
    """The requests of one host between two readings, the later of which was `ago` seconds ago."""

    ago: float
    counts: Reading

    @classmethod
    def between(cls, earlier: Reading, later: Reading) -> Self:
        durations = {}
        for bound, count in later.duration_ms.items():
            durations[bound] = _grown(earlier.duration_ms.get(bound, 0.0), count)
        counts = Reading(
            at=later.at,
            requests=_grown(earlier.requests, later.requests),
            errors=_grown(earlier.errors, later.errors),
            duration_sum_ms=_grown(earlier.duration_sum_ms, later.duration_sum_ms),
            duration_ms=durations,
        )
        return cls(0.0, counts)

    def aged(self, seconds: float) -> "Sample":
        return Sample(self.ago + seconds, self.counts)

    def to_json(self) -> dict[str, Any]:
        stored = self.counts.to_json() | {"ago": self.ago}
        del stored["memory"]
        return stored

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        """Read a sample of this release or another one. Raises ValueError."""
        try:
            return cls(float(stored.get("ago", 0.0)), Reading.from_json(stored))
        except (AttributeError, TypeError, OverflowError) as error:
            raise ValueError("not a sample") from error


def stored_samples(values: Any, age: float) -> list[Sample]:
    """Return the samples in the row of a host that was stored `age` seconds ago.

    Another release may have written it: what this one does not understand is left out.
    """
    stored = values.get("samples") if isinstance(values, dict) else None
    samples = []
    for each in stored if isinstance(stored, list) else []:
        with suppress(ValueError):
            samples.append(Sample.from_json(each).aged(age))
    return samples


def _grown(earlier: float, later: float) -> float:
    """Return by how much a counter has grown. A counter that is smaller has begun again at 0."""
    if later < earlier:
        return later
    return later - earlier


def window() -> float:
    """Return the seconds on which the monitor decides."""
    return max(WINDOW, READINGS * settings.MONITOR_SECONDS)


def traffic(samples: Iterable[Sample], seconds: float) -> Reading:
    """Return the sum of the samples that ended in the last `seconds`."""
    return total(sample.counts for sample in samples if sample.ago < seconds)


def response_ms(counts: Reading) -> float:
    """Return the milliseconds in which 19 of 20 requests ended; 0 without requests."""
    return percentile_ms(NOTHING, counts, SHARE)


def are_enough(requests: float) -> bool:
    """Return whether requests are enough to judge by: one slow one of three is a third."""
    return requests >= settings.MONITOR_LEAST_REQUESTS


def error_share(counts: Reading) -> float:
    """Return the percentage of requests that ended with a 5xx; 0 without requests."""
    return error_percent(NOTHING, counts)
