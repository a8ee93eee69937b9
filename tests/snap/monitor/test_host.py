"""A host's readings are kept while the database is away, and stored once."""

import logging

import pytest
from prometheus_client import REGISTRY
from pytest_django import Settings

from snap.local_cache import reset_process_state
from snap.models import HostReading
from snap.monitor.host import MEGABYTE, store_reading, take_reading
from snap.monitor.samples import WINDOW, Sample, error_share, traffic
from snap.observability.readings import Reading, read_host
from snap.observability.request_metrics import request_duration, requests_total


def serve(requests: int, *, status: int = 200, milliseconds: float = 50.0) -> None:
    """Count requests, as the middleware does."""
    requests_total.labels("promo:event", "GET", str(status)).inc(requests)
    for _ in range(requests):
        request_duration.labels("promo:event").observe(milliseconds)


def stored_samples() -> list[Sample]:
    (row,) = HostReading.objects.all()
    return [Sample.from_json(each) for each in row.values["samples"]]


def error_rate() -> float | None:
    return REGISTRY.get_sample_value("error_rate_percent")


@pytest.mark.django_db
def test_readings_become_samples_in_the_row_of_the_host() -> None:
    take_reading()
    serve(30)
    serve(10, status=503)
    take_reading()
    serve(5)
    take_reading()
    store_reading()
    first, second = stored_samples()
    assert (first.counts.requests, first.counts.errors) == (40, 10)
    assert (second.counts.requests, second.counts.errors) == (5, 0)
    assert traffic([first, second], WINDOW).duration_ms["50.0"] == 45


@pytest.mark.django_db
def test_the_row_is_also_a_reading() -> None:
    take_reading()
    store_reading()
    (row,) = HostReading.objects.all()
    reading = Reading.from_json(row.values)
    assert reading.memory
    assert reading.requests >= 0


@pytest.mark.django_db
def test_a_reading_is_stored_once() -> None:
    take_reading()
    store_reading()
    before = HostReading.objects.get().read_at
    store_reading()
    assert HostReading.objects.get().read_at == before
    take_reading()
    store_reading()
    assert HostReading.objects.get().read_at > before


@pytest.mark.django_db
def test_without_a_reading_nothing_is_stored() -> None:
    store_reading()
    assert not HostReading.objects.exists()


def test_readings_need_no_database() -> None:
    """pytest-django lets this test reach no database."""
    take_reading()
    serve(75)
    serve(25, status=500)
    take_reading()
    assert error_rate() == 25
    serve(100)
    take_reading()
    assert error_rate() == 12.5


def test_the_error_rate_is_0_without_requests() -> None:
    take_reading()
    take_reading()
    assert error_rate() == 0


def test_redirects_and_refusals_are_no_errors() -> None:
    take_reading()
    for status in (200, 302, 404, 429):
        serve(1, status=status)
    take_reading()
    assert error_rate() == 0


def test_health_checks_are_not_requests_of_visitors() -> None:
    take_reading()
    requests_total.labels("/readyz", "GET", "503").inc(10)
    take_reading()
    assert error_rate() == 0


def test_samples_end_after_five_minutes() -> None:
    from snap.monitor import host

    take_reading()
    for _ in range(3):
        take_reading()
    taken = host._host.taken
    assert taken is not None
    later = taken.then(taken.reading, taken.at + 300)
    assert len(taken.samples) == 3
    assert len(later.samples) == 1
    assert error_share(traffic([sample for _, sample in later.samples], WINDOW)) == 0


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return caplog.messages.count("process_memory_high")


def test_a_large_process_is_named_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MEMORY_WARNING_MB = 1
    with caplog.at_level(logging.WARNING):
        take_reading()
        take_reading()
    assert warnings(caplog) == 1
    (line,) = [each for each in caplog.records if each.message == "process_memory_high"]
    assert vars(line)["of_process"]
    assert vars(line)["megabytes"] > 1


def test_a_process_that_grows_again_is_named_again(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        settings.MEMORY_WARNING_MB = 1
        take_reading()
        settings.MEMORY_WARNING_MB = 500_000
        take_reading()
        settings.MEMORY_WARNING_MB = 1
        take_reading()
    assert warnings(caplog) == 2


def test_a_usual_process_is_not_named(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    # This process is as large as the tests before have made it.
    largest = max(read_host().memory.values())
    settings.MEMORY_WARNING_MB = largest // MEGABYTE + 50
    with caplog.at_level(logging.WARNING):
        take_reading()
    assert warnings(caplog) == 0


@pytest.mark.django_db
def test_a_reset_forgets_the_readings() -> None:
    take_reading()
    reset_process_state()
    store_reading()
    assert not HostReading.objects.exists()
