"""Processes tell each other that a server is back. Without that, each finds out by itself."""

import time

from snap.resilience.breaker import Breaker
from snap.resilience.recovery import RecoveryChannel
from tests.helpers.own_servers import own_valkey
from tests.helpers.stack import wait_for


class Process:
    """A breaker and a recovery channel, as each process has them."""

    def __init__(self, every: float) -> None:
        self.is_there = False
        recovery = RecoveryChannel("test")
        self.breaker = Breaker(
            "test",
            threshold=3,
            pause=60,
            probe=lambda: self.is_there,
            every=every,
            wait=recovery.wait,
        )
        self.breaker.on_recovery.append(recovery.publish)
        self.breaker.suspect()
        wait_for(lambda: self.breaker.state == "open")


def test_the_first_process_that_reaches_the_server_makes_all_others_probe() -> None:
    first, *others = Process(every=0.2), Process(every=60), Process(every=60)
    time.sleep(0.5)  # All are subscribed by now.
    for each in [first, *others]:
        each.is_there = True
    for each in [first, *others]:
        wait_for(lambda each=each: each.breaker.state == "closed", 3)  # type: ignore[misc]


def test_a_process_that_receives_the_message_still_probes_by_itself() -> None:
    first, other = Process(every=0.2), Process(every=60)
    time.sleep(0.5)
    first.is_there = True
    wait_for(lambda: first.breaker.state == "closed", 3)
    time.sleep(0.5)
    assert other.breaker.state == "open"
    other.is_there = True
    RecoveryChannel("test").publish()
    wait_for(lambda: other.breaker.state == "closed", 3)


def test_without_redis_each_process_finds_the_server_by_itself() -> None:
    valkey = own_valkey()
    process = Process(every=0.3)
    time.sleep(0.5)
    valkey.stop("immediate")
    time.sleep(0.5)
    assert process.breaker.state == "open"
    process.is_there = True
    wait_for(lambda: process.breaker.state == "closed", 3)
