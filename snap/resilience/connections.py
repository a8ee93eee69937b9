"""Connections to PostgreSQL that get over what their server does: fall silent, restart.

PostgreSQL's own statement_timeout cannot help with a server that is stopped, frozen or cut off, and
neither can TCP's, because the peer's kernel goes on to acknowledge.
"""

import select
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import psycopg
from django.conf import settings
from psycopg import errors
from psycopg.waiting import READY_NONE
from psycopg_pool import ConnectionPool

# Until when (monotonic clock) the work at hand may wait for the database; None: no limit here.
_deadline: ContextVar[float | None] = ContextVar("database_deadline", default=None)

# Seconds that a wait still gets after its deadline: an answer that is there already is read.
LAST_MOMENT = 0.05

# Seconds for which an answer shows that a connection lives, unless its server has hung up since.
PROVEN_FOR = 5.0

# Seconds without an answer after which a server is suspected of being away.
SUSPICIOUS_SILENCE = 1.0
# Called once such a silence has lasted, by a request that waits for the database.
on_silence: list[Callable[[], None]] = []


class BoundedConnection(psycopg.Connection[Any]):
    """Waits DATABASE_SILENCE_TIMEOUT seconds for each answer, or less within `deadline`.

    One that the server has cut takes the idle ones of its pool with it: they went the same way, and
    the pool would hand them out one by one, with a pause after each.
    """

    answered_at = 0.0

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        """Execute a query, except the empty one by which the pool asks whether the server lives.

        It asks so for every request. The kernel knows as much of one that answered just now: when
        the server has ended the connection, there is something to read.
        """
        if query == "" and monotonic() < self.answered_at + PROVEN_FOR and not self._has_news():
            return self.cursor()
        return super().execute(query, *args, **options)

    def _has_news(self) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = settings.DATABASE_SILENCE_TIMEOUT
        deadline = _deadline.get()
        if deadline is not None:
            limit = min(limit, max(LAST_MOMENT, deadline - monotonic()))
        try:
            response = self._wait_suspiciously(gen, interval, timeout or limit)
            self.answered_at = monotonic()
            return response
        except errors._WaitTimeout:
            if timeout is not None:
                raise
            # What is left of the answer may come any time: nobody can use this connection again.
            self.close()
            raise psycopg.OperationalError("the server is silent") from None
        except psycopg.OperationalError:
            if self.closed and isinstance(self._pool, ConnectionPool):
                self._pool.drain()
            raise

    def _wait_suspiciously(self, gen: Any, interval: float, limit: float) -> Any:
        """Wait up to `limit` seconds, and report a silence while it lasts."""
        if _deadline.get() is None or limit <= SUSPICIOUS_SILENCE:
            return super().wait(gen, interval, limit)
        try:
            return super().wait(gen, interval, SUSPICIOUS_SILENCE)
        except errors._WaitTimeout:
            for report in on_silence:
                report()
            return super().wait(_going_on(gen), interval, limit - SUSPICIOUS_SILENCE)


def _going_on(gen: Any) -> Generator[Any, Any, Any]:
    """Return a generator that goes on with one that waits already, for a second `wait`.

    A wait begins with `next`, and a generator that is sending a statement does not take that.
    """
    ready: Any = READY_NONE
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let all waits for the database in this block take no longer than so many seconds together."""
    token = _deadline.set(monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)
