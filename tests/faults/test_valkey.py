"""Valkey dies, hangs or loses its data: caches, limits, wake-ups and pushes, but no request."""

import time

import pytest
from redis import Redis

from guests.audit import in_flight
from snap.local.embedded import Valkey
from tests.faults.breaking import frozen, pause
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes


@pytest.mark.slow
def test_valkey_killed(
    valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """While it is away web creates guests itself, and the sweeper ends requests without a wake-up.

    The protections are `is_failing()` in the create views, and the sweeper. With a frozen sweeper
    the requests that were accepted just before the kill stay in flight.
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


@pytest.mark.slow
def test_valkey_frozen(
    valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Its connections stay open without responses, and each wait ends after half a second.

    The protections are REDIS_TIMEOUT and the thread for wake-ups. A wake-up in the request, with
    the 5 s of the broker, makes the slowest response longer than 6 s.
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


@pytest.mark.slow
def test_valkey_wiped_mid_run(
    valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Requests are rows in PostgreSQL. A lost wake-up costs one interval of the sweeper.

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


@pytest.mark.slow
def test_without_sweeps_a_wiped_valkey_strands_tickets(
    faulty: Stack, valkey: Valkey, make_storm: MakeStorm
) -> None:
    """The test above without its protection: tickets end only when the sweeper runs.

    The worker is away while Valkey is emptied, so it has received no wake-up before.
    """
    storm = make_storm(20, patience=2)
    with faulty.frozen("sweeper"):
        with faulty.without("worker"):
            with storm:
                wait_for(lambda: storm.responses_with("accepted"), 20)
                pause(1)
            with Redis.from_url(f"{valkey.url}/3") as broker:
                broker.delete("guests")
        pause(3)
        assert in_flight(), "the tickets have ended without a sweep"
    wait_for(lambda: not in_flight(), 30)
