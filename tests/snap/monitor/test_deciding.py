"""One sweeper decides by the load of all hosts. Its decisions reach history, log and metrics."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from prometheus_client import REGISTRY
from pytest_django import Settings

from guests.overview.system import read_rows
from snap.control import snapshot
from snap.control.modes import is_crowded, is_emergency, is_queueing
from snap.models import HostReading, LoadMonitor, Mode, ModeChange
from snap.monitor.changes import set_mode
from snap.monitor.deciding import LOCK, decide, export_modes, is_decision_due, measure
from snap.monitor.rules import Figures
from tests.helpers.load import LONG_AGO, make_decision_due, make_modes, make_sample, store_load

Capture = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture(autouse=True)
def _modes(db: None) -> None:
    make_modes()


def decide_now(queue_depth: int = 0) -> None:
    make_decision_due()
    assert decide(lambda: queue_depth)
    snapshot.refresh()


def latest_change() -> tuple[str, bool, bool, str, str]:
    change = ModeChange.objects.latest("pk")
    return change.mode, change.was_on, change.is_on, change.source, change.reason


def test_slow_responses_begin_emergency_mode() -> None:
    store_load("a", make_sample(requests=100, slow=50))
    decide_now()
    assert is_emergency()
    assert not is_queueing()
    mode, was_on, is_on, source, reason = latest_change()
    assert (mode, was_on, is_on, source) == ("emergency", False, True, "monitor")
    assert reason.startswith("response_ms ")


def test_errors_of_one_host_count_among_the_requests_of_all() -> None:
    store_load("a", make_sample(requests=1_000, errors=0))
    store_load("b", make_sample(requests=100, errors=50))
    decide_now()
    assert not is_crowded()
    store_load("b", make_sample(requests=100, errors=60))
    decide_now()
    assert is_emergency()
    assert latest_change()[-1] == "error_percent 5.5"


@pytest.fixture
def many_connections(settings: Settings) -> Iterator[None]:
    """One connection more than MONITOR_CONNECTIONS."""
    settings.MONITOR_CONNECTIONS = 1
    with psycopg.connect(**connection.get_connection_params()):
        yield


@pytest.mark.usefixtures("many_connections")
def test_connections_begin_queue_mode() -> None:
    decide_now()
    assert is_queueing()
    assert not is_emergency()
    assert latest_change()[:4] == ("queue", False, True, "monitor")


@pytest.mark.usefixtures("many_connections")
def test_both_modes_can_be_on() -> None:
    store_load("a", make_sample(requests=100, errors=50))
    decide_now()
    assert is_emergency()
    assert is_queueing()


def test_the_figures_are_kept_for_those_who_show_them() -> None:
    store_load("a", make_sample(requests=60, errors=1), memory={"web-1": 300_000_000})
    store_load("b", make_sample(requests=40), memory={"web-1": 610_000_000})
    decide_now(queue_depth=7)
    row = LoadMonitor.objects.get()
    figures = Figures.from_json(row.figures)
    assert (figures.hosts, figures.requests, figures.error_percent) == (2, 100, 1.0)
    assert (figures.queue_depth, figures.memory) == (7, 610)
    assert figures.connections >= 1
    assert figures.max_connections >= figures.connections


def test_emergency_mode_stays_on_while_no_host_has_metrics() -> None:
    store_load("a", make_sample(requests=100, slow=50))
    decide_now()
    Mode.objects.update(changed_at=Now() - LONG_AGO, well_since=Now() - LONG_AGO)
    store_load("a", memory={})
    decide_now()
    assert is_emergency()
    store_load("a")
    decide_now()
    Mode.objects.update(well_since=Now() - LONG_AGO)
    decide_now()
    assert not is_emergency()


def test_hosts_that_ended_are_left_out_and_forgotten() -> None:
    store_load("gone", make_sample(requests=100, errors=100))
    HostReading.objects.update(read_at=Now() - timedelta(seconds=60))
    decide_now()
    assert not is_emergency()
    assert HostReading.objects.filter(host="gone").exists()
    HostReading.objects.update(read_at=Now() - LONG_AGO)
    decide_now()
    assert not HostReading.objects.exists()


def test_the_age_of_a_row_adds_to_the_age_of_its_samples() -> None:
    store_load("a", make_sample(requests=100, ago=5))
    assert measure(0).requests == 100
    HostReading.objects.update(read_at=Now() - timedelta(seconds=26))
    assert measure(0).requests == 0


def test_a_row_of_another_release_is_read() -> None:
    HostReading.objects.create(host="older", values={})
    HostReading.objects.create(host="newer", values={"samples": [{"requests": 3, "x": 1}], "y": 2})
    assert measure(0).requests == 3


def test_a_mode_ends_when_it_was_well_for_a_minute() -> None:
    store_load("a", make_sample(requests=100, errors=50))
    decide_now()
    store_load("a")
    Mode.objects.update(changed_at=Now() - LONG_AGO)
    decide_now()
    assert is_emergency()
    Mode.objects.update(well_since=Now() - timedelta(seconds=61))
    decide_now()
    assert not is_emergency()
    assert latest_change()[:4] == ("emergency", True, False, "monitor")


def test_a_decision_is_due_once_in_the_interval_of_all_sweepers(settings: Settings) -> None:
    assert is_decision_due()
    decide_now()
    assert not is_decision_due()
    assert not decide(lambda: 0)
    LoadMonitor.objects.update(decided_at=Now() - timedelta(seconds=8.6))
    assert is_decision_due()
    # A database whose clock was wrong.
    LoadMonitor.objects.update(decided_at=Now() + LONG_AGO)
    assert is_decision_due()
    settings.MONITOR_SECONDS = 0.0
    assert not is_decision_due()


def test_without_rows_the_first_decision_makes_them() -> None:
    for model in (Mode, LoadMonitor):
        model.objects.all().delete()
    assert is_decision_due()
    assert decide(lambda: 0)
    assert Mode.objects.count() == 2
    assert LoadMonitor.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_only_one_sweeper_decides_at_a_time() -> None:
    make_modes()
    holds, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            holds.set()
            may_end.wait(10)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    assert holds.wait(10)
    assert not decide(lambda: 0)
    may_end.set()
    other.join()
    assert decide(lambda: 0)


def test_what_staff_have_set_wins_over_the_monitor(caplog: pytest.LogCaptureFixture) -> None:
    set_mode("emergency", is_on=False, minutes=10, reason="a test of the bar's Wi-Fi")
    store_load("a", make_sample(requests=100, errors=50))
    changes = ModeChange.objects.count()
    with caplog.at_level(logging.INFO):
        decide_now()
    assert not is_emergency()
    assert Mode.objects.get(pk="emergency").is_on
    assert ModeChange.objects.count() == changes
    assert "mode_decision_overridden" in caplog.messages


def test_the_end_of_what_staff_had_set_is_in_the_history() -> None:
    set_mode("emergency", is_on=True, minutes=10, reason="rehearsal")
    snapshot.refresh()
    assert is_emergency()
    Mode.objects.update(override_until=Now() - timedelta(seconds=1))
    snapshot.refresh()
    assert not is_emergency()
    decide_now()
    assert latest_change() == ("emergency", True, False, "expiry", "")
    mode = Mode.objects.get(pk="emergency")
    assert (mode.override, mode.override_until, mode.override_reason) == (None, None, "")
    decide_now()
    assert ModeChange.objects.filter(source="expiry").count() == 1


def test_the_end_of_an_override_reveals_what_the_monitor_has_decided() -> None:
    set_mode("emergency", is_on=False, minutes=10, reason="keep it off")
    store_load("a", make_sample(requests=100, errors=50))
    decide_now()
    Mode.objects.update(override_until=Now() - timedelta(seconds=1))
    decide_now()
    assert is_emergency()
    assert latest_change() == ("emergency", False, True, "expiry", "")


def test_each_change_is_in_the_log(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Capture
) -> None:
    store_load("a", make_sample(requests=100, errors=50))
    with caplog.at_level(logging.INFO), django_capture_on_commit_callbacks(execute=True):
        decide_now()
    (line,) = [each for each in caplog.records if each.message == "mode_changed"]
    values = vars(line)
    assert values["mode"] == "emergency"
    assert values["is_on"] is True
    assert values["source"] == "monitor"
    assert values["reason"] == "error_percent 50.0"


def counted(mode: str, source: str) -> float:
    labels = {"mode": mode, "source": source}
    return REGISTRY.get_sample_value("load_mode_changes_total", labels) or 0.0


def test_each_change_is_counted_once_whoever_made_it() -> None:
    before = counted("emergency", "monitor"), counted("queue", "staff")
    set_mode("queue", is_on=True, minutes=10, reason="rehearsal")
    store_load("a", make_sample(requests=100, errors=50))
    decide_now()
    decide_now()
    after = counted("emergency", "monitor"), counted("queue", "staff")
    assert after == (before[0] + 1, before[1] + 1)


def test_the_modes_are_a_metric() -> None:
    def exported() -> dict[str, float | None]:
        names = ("emergency", "queue")
        return {n: REGISTRY.get_sample_value("load_mode", {"mode": n}) for n in names}

    export_modes()
    assert exported() == {"emergency": 0, "queue": 0}
    set_mode("queue", is_on=True, minutes=10, reason="rehearsal")
    snapshot.refresh()
    export_modes()
    assert exported() == {"emergency": 0, "queue": 1}


STRANGE: list[Any] = [
    [],
    "x",
    5,
    {"samples": None, "memory": None},
    {"samples": 5, "memory": [1]},
    {"samples": [5, None, "x", [], {}], "memory": {"web-1": "large", "web-2": None}},
    {"samples": [{"ago": "x"}, {"ago": None}, {"ago": [1]}, {"ago": 10**400}]},
    {"samples": [{"ago": 1, "requests": "9", "errors": None, "duration_ms": [1]}]},
    {"samples": [{"ago": 1, "duration_ms": {"abc": 5, "+Inf": "d", "nan": 1, "-1": 2}}]},
    {"samples": [{"ago": 1, "requests": 1e308}, {"ago": 1, "requests": 1e308, "errors": -1}]},
]


@pytest.mark.parametrize("values", STRANGE)
def test_a_row_that_is_not_understood_stops_no_decision(values: Any) -> None:
    """Another release may write it, or nobody knows who."""
    store_load("good", make_sample(requests=100, slow=50))
    HostReading.objects.store("strange", values)
    decide_now()
    assert is_emergency()
    row = LoadMonitor.objects.get()
    assert row.figures["requests"] == 100
    assert read_rows().load is not None


def test_sweepers_that_take_turns_are_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            decide_now()
            LoadMonitor.objects.update(decided_by="another:1")
    assert caplog.messages.count("load_monitor_decides") == 1
