"""PostgreSQL dies, hangs, or loses the connection at the commit."""

import time

import pytest

from guests.models import GuestRequest
from snap.local.embedded import PostgreSQL, Valkey
from tests.faults.breaking import commits_held, frozen, pause, terminate, waiting_commits
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.faults.storm import Response
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes


@pytest.mark.slow
def test_postgresql_stopped_immediately(
    postgresql: PostgreSQL, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Requests go to the journal until PostgreSQL is back, and from there into the database.

    The protection is level 3. Without it (JOURNAL_PATH cannot be written) people get a 503.
    """
    seconds = form(3, 60)
    storm = make_storm(int(form(150, 1500)))
    with storm:
        pause(1)
        postgresql.stop("immediate")
        pause(seconds)
        postgresql.start()
        healed_at = time.time()
        pause(1)
    assert any(response.level == 3 for response in storm.responses_with("accepted"))
    broken = f"PostgreSQL was stopped with `-m immediate` and away for {seconds:g} s."
    conclude(storm, broken=broken, healed_at=healed_at, was_outage=True)


@pytest.mark.slow
def test_postgresql_frozen(
    postgresql: PostgreSQL, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """Connections stay open without responses, and the kernel still acknowledges packets.

    The protection is BoundedConnection. With a connection of psycopg no response comes before
    PostgreSQL goes on.
    """
    seconds = form(5, 60)
    storm = make_storm(int(form(150, 1500)))
    with storm:
        pause(1)
        with frozen(postgresql):
            pause(seconds)
        healed_at = time.time()
        pause(1)
    assert any(response.level == 3 for response in storm.responses_with("accepted"))
    broken = f"All processes of PostgreSQL were frozen (SIGSTOP) for {seconds:g} s."
    conclude(storm, broken=broken, healed_at=healed_at, was_outage=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["processes frozen", "commits held"])
def test_disk_stalls_again_and_again(
    faulty: Stack,
    postgresql: PostgreSQL,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
    how: str,
) -> None:
    """Only requests in flight during a stall of the disk are queued. No breaker stays open.

    The protection is that slow calls alone do not open the breaker, and that the probe closes it.
    With a breaker that counts slow calls, all requests of the next minute are queued.
    """
    times = int(form(2, 12))
    stall = {"processes frozen": frozen, "commits held": commits_held}[how]
    stalls: list[tuple[float, float]] = []
    storm = make_storm(int(form(300, 2000)), rate=20)
    with storm:
        for _ in range(times):
            pause(form(2, 5))
            began = time.time()
            with stall(postgresql):
                pause(3)
            stalls.append((began, time.time()))
        healed_at = time.time()
        pause(3)
    queued = [response for response in storm.responses_with("accepted") if response.level == 3]
    # The probe closes the breaker within a second, and a busy machine responds later.
    grace = form(3, 1.5)

    def is_in_a_stall(response: Response) -> bool:
        return any(began <= response.at <= ended + grace for began, ended in stalls)

    beyond = [response for response in queued if not is_in_a_stall(response)]
    assert not beyond, f"{len(beyond)} people were queued with no stall, {beyond[0]} among them"
    conclude(
        storm,
        broken=f"For 3 s at a time, {times} times, the disk stalled ({how}). Only the"
        f" {len(queued)} requests in flight were queued.",
        healed_at=healed_at,
        was_outage=True,
    )


@pytest.mark.slow
def test_both_stores_down(
    postgresql: PostgreSQL, valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The journal needs neither PostgreSQL nor Valkey.

    The protection is that level 3 asks no server: the signature proves the session, and the event
    comes from the disk of the host.
    """
    seconds = form(3, 60)
    storm = make_storm(int(form(150, 1500)))
    with storm:
        pause(1)
        postgresql.stop("immediate")
        valkey.stop("immediate")
        pause(seconds)
        valkey.start()
        postgresql.start()
        healed_at = time.time()
        pause(1)
    assert any(response.level == 3 for response in storm.responses_with("accepted"))
    broken = f"PostgreSQL and Valkey were both killed and away for {seconds:g} s."
    conclude(storm, broken=broken, healed_at=healed_at, was_outage=True)


@pytest.mark.slow
def test_connections_cut_at_commit(
    faulty: Stack,
    postgresql: PostgreSQL,
    make_storm: MakeStorm,
    conclude: Conclude,
    form: Form,
) -> None:
    """The commit is durable without a response: web journals the request, workers start again.

    The protection is that both are idempotent: the entry ends with the existing guest of (event,
    account). Without that (see `end_requests`) the constraint would make it a dead row.
    """
    times, cut = int(form(2, 20)), 0
    storm = make_storm(int(form(100, 6000)), rate=20)
    with storm:
        for _ in range(times):
            pause(0.5)
            with commits_held(postgresql):
                wait_for(lambda: waiting_commits(postgresql), 70)
                pause(0.3)
                backends = waiting_commits(postgresql)
                terminate(postgresql, backends)
                cut += len(backends)
        healed_at = time.time()
        pause(1)
    assert cut >= times
    assert GuestRequest.objects.exists()
    conclude(
        storm,
        broken=f"PostgreSQL held all commits (it waited for a standby that does not exist) {times}"
        f" times, and {cut} connections were cut there, after the commit and before its response.",
        healed_at=healed_at,
    )
