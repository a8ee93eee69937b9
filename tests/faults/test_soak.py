"""Random faults, one after the other."""

import random
import time
from collections.abc import Callable

import pytest
from redis import Redis

from snap.local.embedded import PostgreSQL, Valkey
from tests.faults.breaking import (
    commits_held,
    frozen,
    kill_one_child,
    pause,
    terminate,
    waiting_commits,
)
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes


def faults(stack: Stack, postgresql: PostgreSQL, valkey: Valkey) -> dict[str, Callable[[], None]]:
    """Return the possible faults by name. Each call breaks something and repairs it."""

    def server_killed(server: PostgreSQL | Valkey) -> None:
        server.stop("immediate")
        pause(1)
        server.start()

    def server_frozen(server: PostgreSQL | Valkey) -> None:
        with frozen(server):
            pause(2)

    def wiped() -> None:
        with Redis.from_url(valkey.url) as redis:
            redis.flushall()

    def cut() -> None:
        with commits_held(postgresql):
            pause(0.5)
            terminate(postgresql, waiting_commits(postgresql))

    def killed(name: str) -> None:
        stack.kill(name)
        stack.start(name)

    def stopped(name: str) -> None:
        stack.stop(name)
        stack.start(name)

    return {
        "PostgreSQL killed": lambda: server_killed(postgresql),
        "PostgreSQL frozen": lambda: server_frozen(postgresql),
        "Valkey killed": lambda: server_killed(valkey),
        "Valkey frozen": lambda: server_frozen(valkey),
        "Valkey wiped": wiped,
        "connections cut at commit": cut,
        "web killed": lambda: killed("web"),
        "worker killed": lambda: killed("worker"),
        "sweeper killed": lambda: killed("sweeper"),
        "emails killed": lambda: killed("emails"),
        "ws killed": lambda: killed("ws"),
        "web restarted": lambda: stopped("web"),
        "worker restarted": lambda: stopped("worker"),
        "worker child killed": lambda: kill_one_child(stack, "worker"),
    }


@pytest.mark.slow
def test_soak(
    faulty: Stack,
    postgresql: PostgreSQL,
    valkey: Valkey,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
) -> None:
    """A random fault every few seconds. The report has the seed, which gives the same faults again.

    The protections are those of all other scenarios.
    """
    seconds = form.soak_minutes * 60
    seed = random.randrange(1_000_000)
    choose = random.Random(seed)
    possible = faults(faulty, postgresql, valkey)
    happened: list[str] = []
    storm = make_storm(int(seconds * 10), rate=10, patience=60)
    with storm:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pause(choose.uniform(0.5, 3))
            name = choose.choice(list(possible))
            possible[name]()
            happened.append(name)
        healed_at = time.time()
    counted = ", ".join(f"{name} {happened.count(name)}×" for name in sorted(set(happened)))
    conclude(
        storm,
        broken=f"For {seconds / 60:.1f} minutes a random fault every few seconds (seed {seed}):"
        f" {counted}.",
        healed_at=healed_at,
    )
