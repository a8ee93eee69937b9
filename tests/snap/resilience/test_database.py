"""The database is away: a real PostgreSQL is stopped or frozen."""

import gc
import os
import signal
import socket
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
from snap.resilience.database import DatabaseUnavailableError, database_breaker, guarded_database
from tests.faults.breaking import frozen
from tests.helpers import servers
from tests.helpers.guards import THREADS, at_once
from tests.helpers.own_servers import needs_own_postgresql, own_postgresql
from tests.helpers.stack import wait_for

pytestmark = needs_own_postgresql


@pytest.fixture(autouse=True)
def _closed_breaker(transactional_db: None) -> Iterator[None]:
    """Begin and end with a closed breaker and a running server."""
    database_breaker.succeeded()
    yield
    database_breaker.succeeded()
    servers.freshen()
    close_old_connections()


@pytest.fixture
def frozen_postgresql(transactional_db: None) -> Iterator[None]:
    """PostgreSQL with all processes frozen. Its connections stay open."""
    postgresql = own_postgresql()
    User.objects.count()  # Puts a good connection into the pool.
    with frozen(postgresql):
        yield


def test_a_request_waits_for_a_frozen_server_until_its_deadline(
    frozen_postgresql: None, settings: Settings
) -> None:
    settings.DATABASE_REQUEST_SECONDS = 0.5
    began = monotonic()
    with pytest.raises(DatabaseUnavailableError), guarded_database():
        User.objects.count()
    assert monotonic() - began < 4  # The pool waits up to 2 s for a good connection.


@pytest.mark.slow
def test_an_attempt_that_a_frozen_server_leaves_open_is_closed_by_us() -> None:
    """The collector of garbage may run minutes later, and a probe asks each second."""
    gc.disable()
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(5)
            address = {"hostaddr": "127.0.0.1", "port": silent.getsockname()[1]}
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                BoundedConnection.connect(**address, sslmode="disable", connect_timeout=2)
            attempt, _ = silent.accept()
            with attempt:
                attempt.settimeout(5)
                while attempt.recv(1024):  # What it had sent, and then its end.
                    pass
    finally:
        gc.enable()


def test_a_connection_without_a_pool_reports_that_the_server_has_closed_it() -> None:
    """The probe and /readyz use such a connection. An AttributeError would break both."""
    own = BoundedConnection.connect(**connection.get_connection_params(), autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [own.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        own.execute("SELECT 1")
    assert own.closed


def test_after_one_failure_the_probe_opens_the_breaker_and_closes_it_again(
    transactional_db: None,
) -> None:
    """The breaker closes within seconds without any call as a trial."""
    postgresql = own_postgresql()
    postgresql.stop("immediate")
    with pytest.raises(DatabaseUnavailableError), guarded_database():
        User.objects.count()
    wait_for(lambda: database_breaker.state == "open", 3)
    began = monotonic()
    with pytest.raises(DatabaseUnavailableError), guarded_database():
        pytest.fail("an open breaker let the work begin")
    assert monotonic() - began < 0.1
    postgresql.start()
    wait_for(lambda: database_breaker.state == "closed", 3)


def hold(seconds: float) -> None:
    with suppress(DatabaseUnavailableError), guarded_database(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


@pytest.mark.slow
def test_a_response_after_a_suspicious_silence_is_still_read() -> None:
    """The wait goes on, and the connection serves the next query as well."""
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


def test_a_statement_larger_than_the_network_buffers_survives_a_silence(
    settings: Settings,
) -> None:
    """The server stops reading in the middle of a statement."""
    settings.DATABASE_REQUEST_SECONDS = 20
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
    """Return whether the breaker stays closed for some seconds."""
    until = monotonic() + seconds
    while monotonic() < until:
        if database_breaker.state != "closed":
            return False
        sleep(0.01)
    return True


@pytest.mark.slow
def test_slow_calls_at_the_same_time_do_not_open_the_breaker(settings: Settings) -> None:
    """When the disk stalls, all calls in flight reach their deadline together."""
    settings.DATABASE_REQUEST_SECONDS = 1.2
    at_once([lambda: hold(2)] * 7)
    assert stays_closed(2.5)


@pytest.mark.slow
def test_an_exhausted_pool_does_not_open_the_breaker(settings: Settings) -> None:
    settings.DATABASE_REQUEST_SECONDS = 4
    at_once([lambda: hold(3)] * 14)  # The pool has 8 connections and waits 2 s for a free one.
    assert stays_closed(2.5)


@pytest.mark.slow
def test_a_frozen_server_opens_the_breaker_and_the_probe_closes_it(settings: Settings) -> None:
    postgresql = own_postgresql()
    User.objects.count()
    with frozen(postgresql):
        began = monotonic()
        threads = [threading.Thread(target=hold, args=(0,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: database_breaker.state == "open", 6)
        assert monotonic() - began < 4.5
        for thread in threads:
            thread.join()
    wait_for(lambda: database_breaker.state == "closed", 3)


def test_an_error_in_our_code_is_no_failure_of_the_database(transactional_db: None) -> None:
    for _ in range(10):
        with pytest.raises(KeyError), guarded_database():
            raise KeyError
    assert database_breaker.state == "closed"


@pytest.mark.slow
def test_the_connection_works_again_after_a_restart(transactional_db: None) -> None:
    postgresql = own_postgresql()
    User.objects.count()
    postgresql.stop("immediate")
    with pytest.raises(DatabaseUnavailableError), guarded_database(), transaction.atomic():
        User.objects.count()
    postgresql.start()
    wait_for(lambda: database_breaker.state == "closed", 3)
    with guarded_database():
        assert User.objects.count() == 0
    assert connection.in_atomic_block is False


def query_slowly() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.3)")


def test_connections_broken_by_a_restart_do_not_delay_the_next_query(
    transactional_db: None,
) -> None:
    """The pool would find the broken connections one by one, with a pause after each.

    The protection is `drain` in BoundedConnection. Without it the 2 s of the pool end first.
    """
    postgresql = own_postgresql()
    at_once([query_slowly] * THREADS)  # The pool now has as many idle connections.
    postgresql.stop("immediate")
    postgresql.start()
    connection.close()
    assert User.objects.count() == 0
