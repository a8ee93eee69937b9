"""Samples add up over hosts and over processes that start and end."""

from snap.monitor.samples import (
    LONG_WINDOW,
    WINDOW,
    Sample,
    error_share,
    response_ms,
    traffic,
)
from snap.observability.readings import Reading


def reading(requests: float, errors: float = 0.0, **durations: float) -> Reading:
    """Return a reading with the cumulative durations `le_100=…`, `le_5000=…`, `le_Inf=…`."""
    bounds = {}
    for name, count in durations.items():
        bound = name.removeprefix("le_")
        bounds["+Inf" if bound == "Inf" else f"{bound}.0"] = count
    return Reading(at=0.0, requests=requests, errors=errors, duration_ms=bounds)


def test_a_sample_counts_only_what_happened_between_its_readings() -> None:
    before = reading(100, 7, le_100=60, le_5000=100, le_Inf=100)
    after = reading(120, 8, le_100=75, le_5000=119, le_Inf=120)
    counts = Sample.between(before, after).counts
    assert (counts.requests, counts.errors) == (20, 1)
    assert counts.duration_ms == {"100.0": 15, "5000.0": 19, "+Inf": 20}


def test_counters_that_begin_again_are_not_negative() -> None:
    counts = Sample.between(reading(100, 5, le_100=90), reading(30, 1, le_100=20)).counts
    assert (counts.requests, counts.errors, counts.duration_ms) == (30, 1, {"100.0": 20})


def test_old_samples_do_not_count() -> None:
    sample = Sample.between(reading(0), reading(10, 1))
    samples = [sample.aged(age) for age in (0, WINDOW - 1, WINDOW, LONG_WINDOW - 1, LONG_WINDOW)]
    assert traffic(samples, WINDOW).requests == 20
    assert traffic(samples, LONG_WINDOW).requests == 40
    assert traffic([], WINDOW).requests == 0


def test_the_share_of_errors_and_the_response_time_are_those_of_all_hosts() -> None:
    fast = Sample.between(reading(0), reading(90, 0, le_100=90, le_5000=90, le_Inf=90))
    slow = Sample.between(reading(0), reading(10, 10, le_100=0, le_5000=10, le_Inf=10))
    assert error_share(traffic([fast, slow], WINDOW)) == 10
    assert response_ms(traffic([fast], WINDOW)) < 100
    assert 100 < response_ms(traffic([fast, slow], WINDOW)) < 5000


def test_without_requests_nothing_is_slow_and_nothing_fails() -> None:
    assert error_share(traffic([], WINDOW)) == 0
    assert response_ms(traffic([], WINDOW)) == 0


def test_a_stored_sample_is_read_again() -> None:
    sample = Sample.between(reading(0), reading(10, 1, le_100=9, le_Inf=10)).aged(3)
    assert Sample.from_json(sample.to_json()) == sample


def test_samples_of_other_releases_are_read() -> None:
    stored = Sample.between(reading(0), reading(10)).to_json()
    assert Sample.from_json(stored | {"of_a_later_release": 1}).counts.requests == 10
    assert Sample.from_json({}).counts.requests == 0
