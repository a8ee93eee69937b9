"""What a process knows of the switches while PostgreSQL or Valkey is away. Real servers stop."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from time import monotonic

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg_pool import ConnectionPool
from pytest_django import Settings
from waffle.models import Switch

from snap.control import snapshot
from snap.control.switches import is_on
from snap.local.processes import BASE_DIR
from snap.models import Mode
from snap.resilience.connections import BoundedConnection
from tests.faults.breaking import frozen
from tests.helpers.outages import open_breaker
from tests.helpers.own_servers import own_postgresql, own_valkey
from tests.helpers.stack import database_url
from tests.helpers.switches import turn, turn_off

Connection = BoundedConnection | None


@pytest.fixture
def own(transactional_db: None) -> Iterator[BoundedConnection]:
    """The connection of the thread, which this test uses instead of the thread."""
    opened = BoundedConnection.connect(**connection.get_connection_params(), autocommit=True)
    yield opened
    opened.close()


def refresh(over: Connection) -> Connection:
    """Do what the thread does once a second."""
    return snapshot._refresh_over(over)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "refreshed" in record.message]


def end(opened: Connection) -> None:
    if opened is not None:
        opened.close()


# One process --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_switches_and_modes_are_read_by_one_query(django_assert_num_queries: Callable) -> None:  # type: ignore[type-arg]
    Switch.objects.create(name="no switch of ours", active=False)
    Mode.objects.update_or_create(name="queue", defaults={"is_on": True})
    with django_assert_num_queries(1):
        snapshot.refresh()
    assert not is_on("no switch of ours")
    assert "queue" in snapshot.current().modes


@pytest.mark.django_db
def test_what_has_not_changed_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[int] = []
    monkeypatch.setattr(snapshot, "on_change", [lambda: changes.append(1)])
    turn_off("batching")
    snapshot.refresh()
    assert len(changes) == 1
    turn("batching", on=True)
    assert len(changes) == 2


def test_the_last_values_hold_while_postgresql_is_stopped(
    own: BoundedConnection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    turn_off("batching")
    postgresql = own_postgresql()
    postgresql.stop("immediate")
    assert refresh(own) is None
    assert refresh(None) is None
    assert not is_on("batching")
    assert events(caplog) == ["switches_not_refreshed"], "a failure is logged once"
    postgresql.start()
    connection.close()
    Switch.objects.filter(name="batching").update(active=True)
    again = refresh(None)
    assert again is not None
    assert is_on("batching"), "the first refresh after the return reads the new value"
    assert events(caplog) == ["switches_not_refreshed", "switches_refreshed_again"]
    again.close()


def test_a_connection_that_the_server_has_closed_is_replaced(own: BoundedConnection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [own.info.backend_pid])
    assert refresh(own) is None
    turn_off("batching")
    snapshot._forget()
    again = refresh(None)
    assert not is_on("batching")
    end(again)


@pytest.mark.slow
def test_a_frozen_postgresql_holds_the_thread_for_seconds_only(own: BoundedConnection) -> None:
    turn_off("batching")
    with frozen(own_postgresql()):
        began = monotonic()
        assert refresh(own) is None
        assert monotonic() - began < 8  # QUERY_SECONDS is 2; the rest is for a slow machine.
        assert not is_on("batching")


def test_an_open_breaker_does_not_stop_the_refresh(own: BoundedConnection) -> None:
    """The process reads the switches as soon as PostgreSQL is back, before any request asks."""
    Switch.objects.update_or_create(name="batching", defaults={"active": False})
    with open_breaker():
        refresh(own)
        assert not is_on("batching")


def test_a_pool_in_use_does_not_stop_the_refresh(own: BoundedConnection) -> None:
    Switch.objects.update_or_create(name="batching", defaults={"active": False})
    pool: ConnectionPool = connection.pool  # type: ignore[attr-defined]  # PostgreSQL has one
    connection.close()
    taken = [pool.getconn() for _ in range(pool.max_size)]
    try:
        with pytest.raises(psycopg.OperationalError):
            pool.getconn(timeout=0.05)
        refresh(own)
    finally:
        for each in taken:
            pool.putconn(each)
    assert not is_on("batching")


@pytest.mark.parametrize("table", ["waffle_switch", "snap_mode"])
def test_a_schema_without_the_tables_means_defaults(
    own: BoundedConnection, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    """The previous release's schema, before `migrate` has run."""
    caplog.set_level("INFO")
    rename = f"ALTER TABLE {table} RENAME TO"
    with connection.cursor() as cursor:
        cursor.execute(f"{rename} away")
    try:
        assert refresh(own) is None
        assert refresh(None) is None
        assert is_on("batching")
        assert not snapshot.current().modes
        assert events(caplog) == ["switches_not_refreshed"]
        with pytest.raises(DatabaseError), transaction.atomic():
            snapshot.refresh()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE away RENAME TO {table}")


def test_valkey_has_no_influence(own: BoundedConnection) -> None:
    own_valkey().stop("immediate")
    turn_off("batching")
    refresh(own)
    assert not is_on("batching")
    turn("batching", on=True)
    assert is_on("batching")


def test_an_unexpected_error_does_not_end_the_thread(
    own: BoundedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("a report failed")

    monkeypatch.setattr(snapshot, "on_change", [fail])
    assert refresh(own) is None


def test_without_an_interval_no_thread_starts(settings: Settings) -> None:
    settings.CONTROL_REFRESH_SECONDS = 0.0
    snapshot.start()
    assert snapshot._Process.thread is None


# Real processes -----------------------------------------------------------------------------------

PROGRAM = """
import json, os, sys, time
import django
django.setup()
from snap.control import snapshot
from snap.control.switches import is_on
snapshot.start()
if "fork" in sys.argv:
    time.sleep(0.3)
    if os.fork():
        os.wait()
        sys.exit()
was = None
while True:
    now = is_on("batching")
    if now != was:
        print(json.dumps({"on": now, "at": time.time()}), flush=True)
        was = now
    time.sleep(0.01)
"""


class Follower:
    """A process that prints each change of the switch `batching`."""

    def __init__(self, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "snap.settings",
            "DATABASE_URL": database_url(),
            "PYTHONPATH": str(BASE_DIR),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,
        )

    def next_change(self) -> bool:
        assert self._process.stdout is not None
        change: bool = json.loads(self._process.stdout.readline())["on"]
        return change

    def close(self) -> None:
        os.killpg(self._process.pid, 9)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def follow(transactional_db: None) -> Iterator[Callable[..., Follower]]:
    started: list[Follower] = []

    def start(*arguments: str) -> Follower:
        started.append(Follower(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.close()


def set_row(*, active: bool) -> None:
    Switch.objects.update_or_create(name="batching", defaults={"active": active})


@pytest.mark.slow
def test_a_child_follows_after_a_fork(follow: Callable[..., Follower]) -> None:
    follower = follow("fork")
    assert follower.next_change() is True
    set_row(active=False)
    assert follower.next_change() is False
    set_row(active=True)
    assert follower.next_change() is True


@pytest.mark.slow
def test_a_process_that_started_in_an_outage_is_right_once_that_is_over(
    follow: Callable[..., Follower],
) -> None:
    set_row(active=False)
    postgresql = own_postgresql()
    postgresql.stop("immediate")
    follower = follow()
    assert follower.next_change() is True, "the default"
    postgresql.start()
    connection.close()
    assert follower.next_change() is False
    with frozen(postgresql):
        pass
    set_row(active=True)
    assert follower.next_change() is True
