from concurrent.futures import ThreadPoolExecutor

import pytest

from snap.breaker import Breaker


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


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    assert breaker.state == "open"


def test_a_success_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.allows()


def test_after_the_pause_one_caller_may_try(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.state == "half_open"
    assert [breaker.allows(), breaker.allows(), breaker.allows()] == [True, False, False]


def test_of_many_threads_one_gets_the_trial(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    with ThreadPoolExecutor(20) as threads:
        allowed = list(threads.map(lambda _: breaker.allows(), range(200)))
    assert allowed.count(True) == 1


def test_a_good_trial_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state == "closed"
    fail(breaker, 2)
    assert breaker.allows()


def test_a_bad_trial_opens_it_for_another_pause(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now += 61
    assert breaker.allows()


def test_a_trial_that_never_came_back_is_given_to_another(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 61
    assert breaker.allows()
    clock.now += 61
    assert breaker.allows()
