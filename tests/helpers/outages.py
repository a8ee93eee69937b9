"""The database away: the server stopped, or a process that believes so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import close_old_connections, connection
from django.test import Client

from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.models import Event
from guests.requests.creating import create_due_guests
from snap.resilience.database import database_breaker
from tests.factories import make_event
from tests.helpers import servers
from tests.helpers.stack import wait_for


@contextmanager
def open_breaker() -> Iterator[None]:
    """Open the database's breaker in this process; the server keeps running."""
    for _ in range(database_breaker.threshold):
        database_breaker.failed()
    try:
        yield
    finally:
        database_breaker.succeeded()


def make_seen_event(**fields: Any) -> Event:
    """Make an event whose page this host has served, so that it can serve it in an outage too."""
    event = make_event(**fields)
    assert Client().get(f"/promo/{event.slug}/").status_code == 200
    return event


def stop_database() -> None:
    assert servers.postgresql is not None
    servers.postgresql.stop("immediate")


def stop_database_after_a_sweep() -> None:
    """Stop the database once the sweeper has copied all places into the mirror."""
    call_command("sweeper", once=True)
    stop_database()


def start_database() -> None:
    assert servers.postgresql is not None
    servers.postgresql.start()
    close_old_connections()
    database_breaker.succeeded()


def drain_journal() -> None:
    """Move all entries of the journal into the database, and end their requests."""

    def is_drained() -> bool:
        drain(get_journal())
        create_due_guests()
        return get_journal().count()["waiting"] == 0

    wait_for(is_drained)


def start_database_and_drain() -> None:
    start_database()
    drain_journal()


@contextmanager
def database_unavailable() -> Iterator[None]:
    """Make PostgreSQL refuse new connections, and cut those of other processes."""
    name = connection.settings_dict["NAME"]
    parameters = connection.get_connection_params() | {"dbname": "postgres"}
    with psycopg.connect(**parameters, autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'snap-manage' AND datname = %s",
                [name],
            )
            yield
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
