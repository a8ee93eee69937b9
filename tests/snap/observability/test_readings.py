"""What the difference of two readings says about the load."""

import json
from dataclasses import replace

import pytest
from django.test import Client

from snap.observability.readings import (
    Reading,
    average_ms,
    error_percent,
    percentile_ms,
    read_host,
    requests_per_second,
    total,
)

EARLIER = Reading(
    at=1000.0,
    requests=100,
    errors=10,
    duration_sum_ms=5_000,
    duration_ms={"100.0": 90.0, "1000.0": 100.0, "+Inf": 100.0},
)
LATER = Reading(
    at=1010.0,
    requests=300,
    errors=20,
    duration_sum_ms=25_000,
    duration_ms={"100.0": 190.0, "1000.0": 299.0, "+Inf": 300.0},
)


def test_the_load_between_two_readings() -> None:
    assert requests_per_second(EARLIER, LATER) == 20
    assert error_percent(EARLIER, LATER) == 5
    assert average_ms(EARLIER, LATER) == 100


@pytest.mark.parametrize(
    ("share", "milliseconds"),
    [(0.25, 50), (0.5, 100), (0.95, 100 + 900 * 90 / 99), (0.999, 1000), (1.0, 1000)],
)
def test_durations_are_spread_evenly_inside_a_bucket(share: float, milliseconds: float) -> None:
    assert percentile_ms(EARLIER, LATER, share) == pytest.approx(milliseconds)


def test_nothing_between_two_readings() -> None:
    later = replace(EARLIER, at=1010.0)
    assert (requests_per_second(EARLIER, later), error_percent(EARLIER, later)) == (0, 0)
    assert (average_ms(EARLIER, later), percentile_ms(EARLIER, later)) == (0, 0)
    assert requests_per_second(EARLIER, EARLIER) == 0


def test_counters_that_began_again() -> None:
    """The folder of metrics was emptied in between."""
    later = Reading(
        at=1010.0,
        requests=20,
        errors=1,
        duration_sum_ms=400,
        duration_ms={"100.0": 20.0, "1000.0": 20.0, "+Inf": 20.0},
    )
    assert requests_per_second(EARLIER, later) == 2
    assert error_percent(EARLIER, later) == 5
    assert average_ms(EARLIER, later) == 20
    assert 0 < percentile_ms(EARLIER, later) <= 100


def test_a_reading_is_stored_as_json() -> None:
    reading = replace(LATER, memory={"web-1": 90_000_000}, sockets=3)
    stored = json.loads(json.dumps(reading.to_json()))
    assert Reading.from_json(stored) == reading
    # A later release may have more fields, and an earlier one fewer.
    assert Reading.from_json({**stored, "added": 1}) == reading
    assert Reading.from_json({}) == Reading(at=0.0)


def test_several_hosts_together() -> None:
    both = total([EARLIER, LATER])
    assert (both.at, both.requests, both.errors) == (1010.0, 400, 30)
    assert both.duration_ms == {"100.0": 280.0, "1000.0": 399.0, "+Inf": 400.0}
    assert total([]) == Reading(at=0.0)


def test_only_requests_of_visitors_count(client: Client, db: None) -> None:
    earlier = read_host()
    client.get("/promo/")
    client.get("/no/such/page")
    for path in ("/healthz", "/metrics", "/static/none.css"):
        client.get(path)
    later = read_host()
    assert later.requests - earlier.requests == 2
    assert later.errors == earlier.errors
    counted = later.duration_ms["+Inf"] - earlier.duration_ms.get("+Inf", 0)
    assert counted == 2
    assert later.duration_sum_ms > earlier.duration_sum_ms
    [(name, memory)] = later.memory.items()
    assert name.startswith("command-")
    assert 10_000_000 < memory < 10_000_000_000
