"""Workers die and restart. Their open transactions are rolled back, and the rows are due again."""

import time

import pytest

from tests.faults.breaking import children_of, kill_one_child, pause
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes


@pytest.mark.slow
def test_worker_group_killed_again_and_again(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """A batch is one transaction. When its worker is killed, all its requests are due again.

    The protection is the transaction, and that workers find requests by their state, not by a
    message. A mark "taken" before the batch, without a lease, would stay for ever.
    """
    times = int(form(2, 60))
    storm = make_storm(int(form(200, 3000)), rate=20)
    with storm:
        for _ in range(times):
            pause(0.3)
            faulty.kill("worker")
            faulty.start("worker")
        healed_at = time.time()
    broken = f"The worker and all its children were killed (SIGKILL) {times} times."
    conclude(storm, broken=broken, healed_at=healed_at)


@pytest.mark.slow
def test_rolling_restarts(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Each process in turn is stopped with SIGTERM and started again.

    The protection is that each process finishes its work, and that web responds to accepted
    connections. People whose connection is refused try again.
    """
    names = ("worker", "emails", "sweeper", "ws", "web")
    times = int(form(5, 60))
    storm = make_storm(int(form(200, 3000)))
    with storm:
        for number in range(times):
            name = names[number % len(names)]
            faulty.stop(name)
            faulty.start(name)
        healed_at = time.time()
    broken = f"One process after the other was restarted (SIGTERM), {times} times in all."
    conclude(storm, broken=broken, healed_at=healed_at)


@pytest.mark.slow
def test_worker_child_killed(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The child with the most memory dies, as when memory runs out.

    The protections are `acks_late` with `reject_on_worker_lost`, and the sweeper. Without them
    requests whose wake-up the child had received wait for the next request.
    """
    times = int(form(5, 60))
    storm = make_storm(int(form(150, 2000)), rate=20)
    with storm:
        for _ in range(times):
            pause(0.6)
            kill_one_child(faulty, "worker")
        healed_at = time.time()
        pause(1)
        assert children_of(faulty, "worker"), "the worker has no children any more"
    broken = f"The biggest child of the worker was killed (SIGKILL) {times} times."
    conclude(storm, broken=broken, healed_at=healed_at)
