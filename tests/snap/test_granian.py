"""The supervisor of granian ends, however many signals it gets."""

import signal
import subprocess
import sys

import pytest

from snap.granian import PipeEvent
from snap.local.embedded import free_port
from snap.local.processes import BASE_DIR
from tests.helpers.programs import program_environment
from tests.helpers.stack import responds, wait_for


def test_an_event_is_set_until_it_is_cleared() -> None:
    event = PipeEvent()
    assert not event.is_set()
    assert not event.wait(0.01)
    for _ in range(100_000):  # More than a pipe holds.
        event.set()
    assert event.is_set()
    assert event.wait()
    event.clear()
    assert not event.is_set()


@pytest.mark.processes
def test_it_ends_at_a_storm_of_signals() -> None:
    port = free_port()
    command = ["--interface", "wsgi", "--port", str(port), "tests.bench.hello:application"]
    granian = subprocess.Popen(
        [sys.executable, "-m", "snap.granian", *command], cwd=BASE_DIR, env=program_environment()
    )
    try:
        wait_for(lambda: responds(f"http://127.0.0.1:{port}/"), 60)
        for _ in range(2_000):
            granian.send_signal(signal.SIGTERM)
        granian.wait(60)
    finally:
        granian.kill()
        granian.wait()
