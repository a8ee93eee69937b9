"""The database as something that may be away: a breaker, and a limit to what one request waits."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from snap.resilience import connections
from snap.resilience.breaker import Breaker
from snap.resilience.connections import BoundedConnection, deadline
from snap.resilience.recovery import RecoveryChannel

# Seconds that the probe waits for a connection, and then for an answer. psycopg knows no less.
PROBE_SECONDS = 2


def database_answers() -> bool:
    """Ask over a connection of its own: a pool hands out what it believed in before a failure."""
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


# The first process that sees the database again has the others look at once.
recovery = RecoveryChannel("database")
breaker = Breaker(
    "database",
    threshold=settings.BREAKER_THRESHOLD,
    pause=settings.BREAKER_PAUSE,
    probe=database_answers,
    wait=recovery.wait,
)
breaker.on_return.append(recovery.tell)
connections.on_silence.append(breaker.suspect)


class DatabaseAwayError(Exception):
    """The database does not answer in time, or the breaker did not let us ask."""


@contextmanager
def guarded_database() -> Iterator[None]:
    """Ask the database through the breaker, for DATABASE_REQUEST_SECONDS in all.

    Raises DatabaseAwayError when the breaker is open, and instead of any error that says that the
    database is away, too slow or out of connections. Such an error opens nothing by itself: it has
    the probe look. Not for use inside a transaction.
    """
    if not breaker.allows():
        raise DatabaseAwayError("the breaker is open")
    try:
        with deadline(settings.DATABASE_REQUEST_SECONDS):
            yield
    except (OperationalError, InterfaceError) as error:
        breaker.suspect()
        connection.close()
        raise DatabaseAwayError(type(error).__name__) from error
    except BaseException:
        breaker.succeeded()  # It answered; something else went wrong.
        raise
    breaker.succeeded()
