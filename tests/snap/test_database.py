"""The database being away, on a real PostgreSQL that is stopped or frozen."""

import os
import signal
from collections.abc import Iterator
from time import monotonic

import psutil
import pytest
from django.db import close_old_connections, connection, transaction
from pytest_django import Settings

from accounts.models import User
from snap.database import DatabaseAwayError, asking, breaker
from tests import servers
from tests.guards import THREADS, at_once

pytestmark = pytest.mark.skipif(
    "servers.postgresql is None", reason="only a server that the tests started may be stopped"
)


@pytest.fixture(autouse=True)
def all_well(transactional_db: None) -> Iterator[None]:
    """Begin and end with a closed breaker, and leave a server that answers."""
    breaker.succeeded()
    yield
    breaker.succeeded()
    servers.freshen()
    close_old_connections()


@pytest.fixture
def frozen_postgresql(transactional_db: None) -> Iterator[None]:
    """PostgreSQL with all its processes stopped where they were; it holds its connections."""
    assert servers.postgresql is not None
    User.objects.count()  # A connection that was good is in the pool.
    leader = psutil.Process(servers.postgresql.pid)
    processes = [leader, *leader.children(recursive=True)]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    yield
    for process in processes:
        if process.is_running():
            os.kill(process.pid, signal.SIGCONT)


def test_a_frozen_server_costs_a_request_no_more_than_its_time(
    frozen_postgresql: None, settings: Settings
) -> None:
    settings.DATABASE_REQUEST_SECONDS = 0.5
    began = monotonic()
    with pytest.raises(DatabaseAwayError), asking():
        User.objects.count()
    assert monotonic() - began < 4  # The pool waits up to 2 s for a connection that is good.


def test_failures_in_a_row_open_the_breaker(transactional_db: None) -> None:
    assert servers.postgresql is not None
    servers.postgresql.stop("immediate")

    def fail() -> None:
        with pytest.raises(DatabaseAwayError), asking():
            User.objects.count()

    at_once([fail] * 4)  # Each waits for 2 s.
    assert breaker.state == "closed"
    fail()
    assert breaker.state == "open"
    began = monotonic()
    with pytest.raises(DatabaseAwayError), asking():
        pytest.fail("an open breaker let the work begin")
    assert monotonic() - began < 0.1


def test_an_error_of_ours_is_no_failure_of_the_database(transactional_db: None) -> None:
    for _ in range(10):
        with pytest.raises(KeyError), asking():
            raise KeyError
    assert breaker.state == "closed"


def test_the_connection_works_again_after_a_restart(transactional_db: None) -> None:
    assert servers.postgresql is not None
    User.objects.count()
    servers.postgresql.stop("immediate")
    with pytest.raises(DatabaseAwayError), asking(), transaction.atomic():
        User.objects.count()
    servers.postgresql.start()
    with asking():
        assert User.objects.count() == 0
    assert connection.in_atomic_block is False


def ask_slowly() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.3)")


def test_connections_that_a_restart_has_broken_keep_nobody_waiting(transactional_db: None) -> None:
    """Whoever asks first would find them broken one by one, and the pool pauses after each.

    The protection is `drain` in BoundedConnection: without it the pool's 2 s are over first.
    """
    assert servers.postgresql is not None
    at_once([ask_slowly] * THREADS)  # So many connections are idle in the pool now.
    servers.postgresql.stop("immediate")
    servers.postgresql.start()
    connection.close()
    assert User.objects.count() == 0
