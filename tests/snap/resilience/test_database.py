"""The database being away, on a real PostgreSQL that is stopped or frozen."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic, sleep

import psycopg
import pytest
from django.db import close_old_connections, connection, transaction
from pytest_django import Settings

from accounts.models import User
from snap.resilience.connections import BoundedConnection
from snap.resilience.database import DatabaseAwayError, breaker, guarded_database
from tests.faults.breaking import frozen
from tests.helpers import servers
from tests.helpers.guards import THREADS, at_once
from tests.helpers.stack import wait_for

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
    with frozen(servers.postgresql):
        yield


def test_a_frozen_server_costs_a_request_no_more_than_its_time(
    frozen_postgresql: None, settings: Settings
) -> None:
    settings.DATABASE_REQUEST_SECONDS = 0.5
    began = monotonic()
    with pytest.raises(DatabaseAwayError), guarded_database():
        User.objects.count()
    assert monotonic() - began < 4  # The pool waits up to 2 s for a connection that is good.


def test_a_connection_without_a_pool_reports_that_the_server_has_closed_it() -> None:
    """The probe and /readyz use one: an AttributeError would be no answer to either."""
    own = BoundedConnection.connect(**connection.get_connection_params(), autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [own.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        own.execute("SELECT 1")
    assert own.closed


def test_one_failure_has_the_probe_open_the_breaker_and_close_it_again(
    transactional_db: None,
) -> None:
    """Nobody has to be a trial: it is closed within seconds, with no call at all."""
    assert servers.postgresql is not None
    servers.postgresql.stop("immediate")
    with pytest.raises(DatabaseAwayError), guarded_database():
        User.objects.count()
    wait_for(lambda: breaker.state == "open", 3)
    began = monotonic()
    with pytest.raises(DatabaseAwayError), guarded_database():
        pytest.fail("an open breaker let the work begin")
    assert monotonic() - began < 0.1
    servers.postgresql.start()
    wait_for(lambda: breaker.state == "closed", 3)


def hold(seconds: float) -> None:
    with suppress(DatabaseAwayError), guarded_database(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def test_an_answer_after_a_suspicious_silence_is_still_read() -> None:
    """The wait for it goes on where it was, for a query and for one after it."""
    with guarded_database(), connection.cursor() as cursor:
        cursor.execute("SELECT 41 FROM pg_sleep(1.4)")
        assert cursor.fetchone() == (41,)
    with guarded_database(), connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        assert cursor.fetchone() == (42,)
    with guarded_database(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1.1)")
        cursor.execute("SELECT repeat('x', %s)", [5_000_000])
        assert len(cursor.fetchone()[0]) == 5_000_000
    assert stays_closed(0.5)


def test_a_statement_longer_than_what_the_network_takes_survives_a_silence(
    settings: Settings,
) -> None:
    """The server reads nothing for a while, in the middle of a statement that is being sent."""
    settings.DATABASE_REQUEST_SECONDS = 20
    assert servers.postgresql is not None
    User.objects.count()
    backend = backend_pid()
    text = "x" * 20_000_000
    timer = threading.Timer(1.6, lambda: os.kill(backend, signal.SIGCONT))
    os.kill(backend, signal.SIGSTOP)
    timer.start()
    with guarded_database(), connection.cursor() as cursor:
        cursor.execute("SELECT length(%s::text)", [text])
        assert cursor.fetchone() == (len(text),)
    timer.join()


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def stays_closed(seconds: float) -> bool:
    """Say whether the breaker is closed all the time that the probe could take to open it."""
    until = monotonic() + seconds
    while monotonic() < until:
        if breaker.state != "closed":
            return False
        sleep(0.01)
    return True


def test_calls_that_are_slow_together_open_nothing(settings: Settings) -> None:
    """As when the disk stalls: all that were in flight run out of their time at once."""
    settings.DATABASE_REQUEST_SECONDS = 1.2
    at_once([lambda: hold(2)] * 7)
    assert stays_closed(2.5)


def test_a_pool_without_a_connection_left_opens_nothing(settings: Settings) -> None:
    settings.DATABASE_REQUEST_SECONDS = 4
    at_once([lambda: hold(3)] * 14)  # The pool has 8 connections, and gives them 2 s to be free.
    assert stays_closed(2.5)


def test_a_frozen_server_opens_it_and_is_back_at_once(settings: Settings) -> None:
    assert servers.postgresql is not None
    User.objects.count()
    with frozen(servers.postgresql):
        began = monotonic()
        threads = [threading.Thread(target=hold, args=(0,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: breaker.state == "open", 6)
        assert monotonic() - began < 4.5
        for thread in threads:
            thread.join()
    wait_for(lambda: breaker.state == "closed", 3)


def test_an_error_of_ours_is_no_failure_of_the_database(transactional_db: None) -> None:
    for _ in range(10):
        with pytest.raises(KeyError), guarded_database():
            raise KeyError
    assert breaker.state == "closed"


def test_the_connection_works_again_after_a_restart(transactional_db: None) -> None:
    assert servers.postgresql is not None
    User.objects.count()
    servers.postgresql.stop("immediate")
    with pytest.raises(DatabaseAwayError), guarded_database(), transaction.atomic():
        User.objects.count()
    servers.postgresql.start()
    wait_for(lambda: breaker.state == "closed", 3)
    with guarded_database():
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
