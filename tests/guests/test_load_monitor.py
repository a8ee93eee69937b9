"""The load monitor in real sweepers: one decides, another takes over, an outage is said once."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from django.db import Error, connection
from django.utils import timezone

from snap.control import snapshot
from snap.control.modes import is_emergency
from snap.models import HostReading, LoadMonitor, Mode, ModeChange
from snap.monitor.changes import set_mode
from snap.monitor.deciding import STUCK_SECONDS, decide
from tests.helpers.load import make_decision_due, make_modes, make_sample, store_load
from tests.helpers.outages import database_unavailable
from tests.helpers.programs import running_command
from tests.helpers.stack import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"MONITOR_SECONDS": "0.5", "SWEEP_INTERVAL": "0.3"}


@contextmanager
def sweeper(tmp_path: Path, name: str = "a", **env: str) -> Iterator[subprocess.Popen[bytes]]:
    metrics = tmp_path / f"metrics-{name}"
    with running_command(
        "sweeper",
        log=tmp_path / name,
        SNAP_PROCESS="sweeper",
        PROMETHEUS_MULTIPROC_DIR=str(metrics),
        JOURNAL_PATH=str(tmp_path / f"journal-{name}.sqlite3"),
        **env,
    ) as process:
        yield process


def decider() -> int:
    """Return the id of the process that decided last, 0 if it is none of this test."""
    decided_by = LoadMonitor.objects.values_list("decided_by", flat=True).first() or ""
    return int(decided_by.rpartition(":")[2]) if ":" in decided_by else 0


def decided_at() -> datetime:
    return LoadMonitor.objects.values_list("decided_at", flat=True).get()


@pytest.mark.slow
def test_a_sweeper_stores_what_its_host_does_and_begins_a_mode(tmp_path: Path) -> None:
    make_modes()
    store_load("another host", make_sample(requests=1000, errors=200))
    with sweeper(tmp_path, **QUICK) as process:
        wait_for(lambda: decider() == process.pid, timeout=30)
        change = wait_for(ModeChange.objects.first, timeout=20)
        wait_for(lambda: HostReading.objects.count() == 2, timeout=20)
        assert change is not None
        assert (change.mode, change.is_on, change.source) == ("emergency", True, "monitor")
        wait_for(lambda: "mode_changed" in (tmp_path / "a").read_text())
    snapshot.refresh()
    assert is_emergency()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_another_sweeper_takes_over_within_ten_seconds(tmp_path: Path, end: signal.Signals) -> None:
    make_modes()
    with sweeper(tmp_path, "a") as first, sweeper(tmp_path, "b") as second:
        pids = {first.pid, second.pid}
        gone = wait_for(lambda: pids & {decider()}, timeout=30).pop()
        before = decided_at()
        wait_for(lambda: decided_at() > before, timeout=20)
        gone = decider()
        os.kill(gone, end)
        ended_at = timezone.now()
        (other,) = pids - {gone}
        wait_for(lambda: decider() == other, timeout=20)
        assert (decided_at() - ended_at).total_seconds() < 10
        if end is signal.SIGSTOP:
            os.kill(gone, signal.SIGCONT)
        before = decided_at()
        wait_for(lambda: decided_at() > before, timeout=20)
        assert 7 < (decided_at() - before).total_seconds() < 15
    for name in ("a", "b"):
        assert "Traceback" not in (tmp_path / name).read_text()


@pytest.mark.slow
def test_a_sweeper_that_is_stopped_in_the_middle_holds_nobody_up() -> None:
    make_modes()
    holds, may_go_on = threading.Event(), threading.Event()
    failed: list[Error] = []

    def stop_in_the_middle() -> int:
        holds.set()
        may_go_on.wait(30)
        return 0

    def stuck() -> None:
        try:
            decide(stop_in_the_middle)
        except Error as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=stuck)
    thread.start()
    assert holds.wait(10)
    assert not decide(lambda: 0)
    wait_for(lambda: decide(lambda: 0), timeout=STUCK_SECONDS + 5)
    may_go_on.set()
    thread.join()
    assert "idle" in str(failed)


@pytest.mark.slow
def test_an_outage_is_said_once_and_modes_hold(tmp_path: Path) -> None:
    make_modes()
    set_mode("queue", is_on=True, minutes=30, reason="rehearsal")
    log = tmp_path / "a"
    with sweeper(tmp_path, **QUICK) as process:
        wait_for(lambda: decider() == process.pid, timeout=30)
        wait_for(lambda: "modes_followed" in log.read_text())
        with database_unavailable():
            wait_for(lambda: "sweep_failed" in log.read_text())
            assert process.poll() is None
        before = decided_at()
        wait_for(lambda: decided_at() > before, timeout=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    said = log.read_text()
    assert said.count("sweep_failed sweep=sweep_load") <= 1
    assert "sweep=sweep_readings" not in said
    assert said.count("modes_followed") == 1
    assert "Traceback" not in said


def test_without_a_monitor_staff_still_set_modes(tmp_path: Path) -> None:
    make_modes()
    make_decision_due()
    store_load("another host", make_sample(requests=1000, errors=200))
    log = tmp_path / "a"
    with sweeper(tmp_path, MONITOR_SECONDS="0"):
        set_mode("queue", is_on=True, minutes=30, reason="rehearsal")
        wait_for(lambda: "modes_followed modes=queue" in log.read_text(), timeout=30)
    assert not Mode.objects.get(pk="emergency").is_on
    assert HostReading.objects.count() == 1
