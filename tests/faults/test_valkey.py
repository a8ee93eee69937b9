"""Valkey dies, hangs or forgets: caches, limits, wake-ups and pushes with it, and no request."""

import time

import pytest
from redis import Redis

from guests.audit import in_flight
from snap.local.embedded import Valkey
from tests.faults.breaking import frozen, pause
from tests.faults.conftest import Conclude, Form, MakeStorm
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes


def test_valkey_killed(
    valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """While it is away web makes guests itself, and the sweeper does what had no wake-up left.

    The protection is `is_failing()` in the create views, and the sweeper: stop it (SIGSTOP) and
    what was accepted just before the kill stays in flight.
    """
    seconds = form(3, 60)
    storm = make_storm(int(form(150, 1500)))
    with storm:
        pause(1)
        valkey.stop("immediate")
        pause(seconds)
        valkey.start()
        healed_at = time.time()
        pause(1)
    conclude(storm, broken=f"Valkey was killed and away for {seconds:g} s.", healed_at=healed_at)


def test_valkey_frozen(
    valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Its connections stay open and nothing answers: whoever waits gives up after half a second.

    The protections are REDIS_TIMEOUT and the wake-up's own thread: published within the request,
    with the broker's 5 s, the slowest answer is over 6 s.
    """
    seconds = form(3, 60)
    storm = make_storm(int(form(150, 1500)))
    with storm:
        pause(1)
        with frozen(valkey):
            pause(seconds)
        healed_at = time.time()
        pause(1)
    conclude(storm, broken=f"Valkey was frozen (SIGSTOP) for {seconds:g} s.", healed_at=healed_at)


def test_valkey_wiped_mid_run(
    valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The rows are the record: a wake-up that is lost costs a sweep interval.

    The protection is the sweeper, which `test_without_sweeps_a_wiped_valkey_strands_tickets`
    switches off.
    """
    times = int(form(6, 60))
    storm = make_storm(int(form(150, 1500)))
    with storm, Redis.from_url(valkey.url) as redis:
        for _ in range(times):
            pause(0.5)
            redis.flushall()
        healed_at = time.time()
        pause(0.5)
    broken = f"Valkey was emptied (FLUSHALL) {times} times, half a second apart."
    conclude(storm, broken=broken, healed_at=healed_at)


def test_without_sweeps_a_wiped_valkey_strands_tickets(
    faulty: Stack, valkey: Valkey, make_storm: MakeStorm
) -> None:
    """The guard of the test above, off and on: tickets end only once somebody sweeps.

    The worker is away while it is wiped, so that no wake-up can have been taken before.
    """
    storm = make_storm(20, patience=2)
    with faulty.frozen("sweeper"):
        with faulty.without("worker"):
            with storm:
                wait_for(lambda: storm.heard("accepted"), 20)
                pause(1)
            with Redis.from_url(f"{valkey.url}/3") as broker:
                broker.delete("guests")
        pause(3)
        assert in_flight(), "nobody swept, and yet the tickets have ended"
    wait_for(lambda: not in_flight(), 30)
