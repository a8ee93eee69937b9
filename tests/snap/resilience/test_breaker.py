"""Circuit breakers and their probes."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from snap.local.processes import BASE_DIR
from snap.resilience.breaker import Breaker, Probe
from tests.helpers.stack import wait_for


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("test", threshold=3, pause=60, clock=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_it_opens_after_three_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    assert breaker.state == "open"


def test_a_success_resets_the_count(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.allows()


def test_after_the_pause_one_caller_is_a_trial(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.state == "half_open"
    assert [breaker.allows(), breaker.allows(), breaker.allows()] == [True, False, False]


def test_only_one_of_many_threads_is_the_trial(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    with ThreadPoolExecutor(20) as threads:
        allowed = list(threads.map(lambda _: breaker.allows(), range(200)))
    assert allowed.count(True) == 1


def test_a_trial_that_succeeds_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state == "closed"
    fail(breaker, 2)
    assert breaker.allows()


def test_a_trial_that_fails_opens_it_for_another_pause(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now += 61
    assert breaker.allows()


def test_a_trial_that_never_ends_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.allows()
    clock.now += 61
    assert breaker.allows()


def test_failures_of_calls_that_began_together_count_once(breaker: Breaker, clock: Clock) -> None:
    """Eight calls in flight fail because of one stall. Calls that begin later count again."""
    began = clock()
    clock.now += 2.5
    for _ in range(8):
        breaker.failed(began)
    assert breaker.state == "closed"
    for _ in range(breaker.threshold - 1):
        clock.now += 1
        breaker.failed(clock())
    assert breaker.state == "open"


class Server:
    """A server for a probe. It responds or not, at once or when the test lets it."""

    def __init__(self) -> None:
        self.is_there = True
        self.probes = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def responds(self) -> bool:
        self.probes += 1
        self.goes_on.wait(10)
        return self.is_there


def probed(probe: Probe, *, pause: float = 60) -> Breaker:
    return Breaker("test", threshold=3, pause=pause, probe=probe)


def probe_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "probe test"]


def test_a_probe_that_succeeds_leaves_the_breaker_closed() -> None:
    server = Server()
    breaker = probed(server.responds)
    breaker.suspect()
    wait_for(lambda: server.probes == 1 and not probe_threads())
    assert breaker.state == "closed"


def test_without_a_suspicion_no_probe_and_no_thread_runs() -> None:
    server = Server()
    breaker = probed(server.responds)
    assert breaker.allows()
    breaker.succeeded()
    assert server.probes == 0
    assert not probe_threads()


def test_the_probe_opens_and_closes_it_and_no_caller_is_a_trial() -> None:
    server = Server()
    breaker = probed(server.responds)
    back: list[str] = []
    breaker.on_recovery.append(lambda: back.append(breaker.state))
    server.is_there = False
    breaker.suspect()
    wait_for(lambda: breaker.state == "open")
    assert not any(breaker.allows() for _ in range(100))
    assert back == []
    server.is_there = True
    began = time.monotonic()
    wait_for(breaker.allows)
    assert time.monotonic() - began < 2
    wait_for(lambda: not probe_threads())
    assert back == ["closed"]


@pytest.mark.slow
def test_each_probe_renews_the_pause() -> None:
    """The pause only matters when a probe hangs. Until then no caller is a trial."""
    server = Server()
    breaker = probed(server.responds, pause=1.5)
    server.is_there = False
    breaker.suspect()
    wait_for(lambda: server.probes >= 4, 10)
    assert breaker.state == "open"
    server.goes_on.clear()
    wait_for(lambda: breaker.state == "half_open", 10)
    assert [breaker.allows(), breaker.allows()] == [True, False]
    server.is_there = True
    server.goes_on.set()
    wait_for(lambda: breaker.state == "closed")


def test_many_suspicions_start_one_thread() -> None:
    server = Server()
    server.goes_on.clear()
    breaker = probed(server.responds)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: breaker.suspect(), range(200)))
    assert len(probe_threads()) == 1
    server.goes_on.set()
    # A suspicion after the start of the first probe causes another probe.
    wait_for(lambda: server.probes == 2 and not probe_threads())


def test_a_probe_that_raises_has_failed() -> None:
    outcomes = iter([RuntimeError, True])

    def broken() -> bool:
        outcome = next(outcomes)
        if outcome is RuntimeError:
            raise RuntimeError
        return True

    probing = probed(broken)
    probing.suspect()
    wait_for(lambda: probing.state == "open")
    wait_for(lambda: probing.state == "closed")


def test_a_successful_probe_does_not_shorten_the_pause_after_errors() -> None:
    """A provider that returns 429 can be reached, but must be left alone."""
    server = Server()
    breaker = probed(server.responds)
    fail(breaker, 3)
    breaker.suspect()
    wait_for(lambda: server.probes == 1 and not probe_threads())
    assert breaker.state == "open"


IN_A_FORK = """\
import os, sys, threading
from snap.resilience.breaker import Breaker

is_up = []
breaker = Breaker("test", threshold=3, pause=60, probe=lambda: bool(is_up))
breaker.suspect()
while breaker.state != "open":
    pass
child = os.fork()
if child == 0:
    assert breaker.state == "closed"
    assert threading.active_count() == 1
    breaker.suspect()
    while breaker.state != "open":
        pass
    is_up.append(True)
    while breaker.state != "closed":
        pass
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_has_its_own_state_and_probe() -> None:
    command = [sys.executable, "-W", "ignore", "-c", IN_A_FORK]
    assert subprocess.run(command, cwd=BASE_DIR, timeout=30).returncode == 0
