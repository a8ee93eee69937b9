"""The database as something that may be away: a breaker, and a limit to what one request waits."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from .breaker import Breaker
from .connections import within

breaker = Breaker("database", threshold=settings.BREAKER_THRESHOLD, pause=settings.BREAKER_PAUSE)


class DatabaseAwayError(Exception):
    """The database does not answer, or the breaker did not let us ask."""


@contextmanager
def asking() -> Iterator[None]:
    """Ask the database through the breaker, for DATABASE_REQUEST_SECONDS in all.

    Raises DatabaseAwayError when the breaker is open, and instead of any error that says that the
    database is away, too slow or out of connections. Not for use inside a transaction.
    """
    if not breaker.allows():
        raise DatabaseAwayError("the breaker is open")
    try:
        with within(settings.DATABASE_REQUEST_SECONDS):
            yield
    except (OperationalError, InterfaceError) as error:
        breaker.failed()
        connection.close()
        raise DatabaseAwayError(type(error).__name__) from error
    except BaseException:
        breaker.succeeded()  # It answered; something else went wrong.
        raise
    breaker.succeeded()
