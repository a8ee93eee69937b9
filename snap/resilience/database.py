"""Queries for requests that can go on without the database: a circuit breaker and a deadline.

Meanwhile `emergency_fallback` (promo/emergency.py) passes requests to views that read this host's
copies of events and places and write to its journal (guests/emergency/).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from snap.local_cache import on_reset
from snap.resilience import connections
from snap.resilience.breaker import Breaker
from snap.resilience.connections import BoundedConnection, deadline
from snap.resilience.recovery import RecoveryChannel

# Seconds that the probe waits for a connection, and then for a response: psycopg's minimum.
PROBE_SECONDS = 2


def database_responds() -> bool:
    """Return whether PostgreSQL responds over a new connection.

    The pool could return a connection from before a failure. Takes up to 4 seconds.
    """
    parameters = connection.get_connection_params() | {"connect_timeout": PROBE_SECONDS}
    try:
        with (
            deadline(PROBE_SECONDS),
            BoundedConnection.connect(**parameters, autocommit=True) as own,
        ):
            own.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


# The first process whose probe succeeds makes the probes of all other processes ask at once.
recovery = RecoveryChannel("database")
database_breaker = Breaker(
    "database",
    threshold=settings.BREAKER_THRESHOLD,
    pause=settings.BREAKER_PAUSE,
    probe=database_responds,
    wait=recovery.wait,
)
database_breaker.on_recovery.append(recovery.publish)
connections.on_silence.append(database_breaker.suspect)
on_reset(database_breaker.succeeded)


class DatabaseUnavailableError(Exception):
    """The database did not respond before the deadline, or the breaker is open.

    `was_asked`: statements may have run, and a commit whose response was lost may have stored them.
    """

    def __init__(self, reason: str, *, was_asked: bool) -> None:
        super().__init__(reason)
        self.was_asked = was_asked


@contextmanager
def guarded_database() -> Iterator[None]:
    """Run queries through the breaker; all waits together take DATABASE_REQUEST_SECONDS at most.

    Raises DatabaseUnavailableError when the breaker is open, and in place of an error which means
    that the database is away, too slow or out of connections. Such an error does not open the
    breaker, but starts its probe. Not for use inside a transaction.
    """
    if not database_breaker.allows():
        raise DatabaseUnavailableError("the breaker is open", was_asked=False)
    try:
        with deadline(settings.DATABASE_REQUEST_SECONDS):
            yield
    except (OperationalError, InterfaceError) as error:
        database_breaker.suspect()
        connection.close()
        raise DatabaseUnavailableError(type(error).__name__, was_asked=True) from error
    except BaseException:
        database_breaker.succeeded()  # The database responded; the error has another cause.
        raise
    database_breaker.succeeded()
