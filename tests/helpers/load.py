"""Loads for tests of the load monitor: what hosts have measured, and modes that are on."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from snap.control import snapshot
from snap.models import HostReading, LoadMonitor, Mode
from snap.monitor.samples import Sample
from snap.observability.readings import Reading

LONG_AGO = timedelta(hours=1)


def make_sample(
    *, requests: float = 1000, errors: float = 0, slow: float = 0, ago: float = 0
) -> Sample:
    """Return a sample whose requests took up to 100 ms, and `slow` of them up to 10 s."""
    durations = {"100.0": requests - slow, "5000.0": requests - slow, "+Inf": requests}
    durations["10000.0"] = requests
    counts = Reading(at=0.0, requests=requests, errors=errors, duration_ms=durations)
    return Sample(ago, counts)


def store_load(host: str, *samples: Sample, memory: dict[str, int] | None = None) -> None:
    """Store what a host has measured, by default of one process."""
    if memory is None:
        memory = {"web-1": 100_000_000}
    values: dict[str, Any] = {"samples": [sample.to_json() for sample in samples]}
    HostReading.objects.store(host, values | {"memory": memory})


def make_modes() -> None:
    """Make both modes, off for a long time, and a decision of another process long ago."""
    for name in ("emergency", "queue"):
        Mode.objects.update_or_create(
            pk=name, defaults={"is_on": False, "changed_at": Now() - LONG_AGO}
        )
    values = {"decided_at": Now() - LONG_AGO, "decided_by": "another"}
    LoadMonitor.objects.update_or_create(pk=LoadMonitor.ROW, defaults=values)


def make_decision_due() -> None:
    LoadMonitor.objects.update(decided_at=Now() - LONG_AGO)


@contextmanager
def mode_on(*names: str) -> Iterator[None]:
    """Turn modes on for this process."""
    for name in names:
        Mode.objects.update_or_create(pk=name, defaults={"is_on": True})
    snapshot.refresh()
    try:
        yield
    finally:
        Mode.objects.filter(pk__in=names).update(is_on=False)
        snapshot.refresh()
