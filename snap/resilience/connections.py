"""Connections to PostgreSQL with a time limit for each response, even if the server is frozen.

PostgreSQL's statement_timeout has no effect when the server process is stopped, frozen or cut off.
TCP's own timeouts have none either, because the kernel of a frozen server still acknowledges.
"""

import select
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from traceback import clear_frames
from typing import Any, Self

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import errors
from psycopg.waiting import READY_NONE
from psycopg_pool import ConnectionPool

# Until when this thread or task may wait for the database (monotonic clock); None: no limit.
_deadline: ContextVar[float | None] = ContextVar("database_deadline", default=None)

# Seconds that a wait has after its deadline, to read a response that has already arrived.
MIN_WAIT = 0.05

# Seconds after a response in which a connection counts as alive without asking the server.
ALIVE_SECONDS = 5.0

# Seconds without a response after which the callbacks in `on_silence` run.
SILENCE_SECONDS = 1.0
# Callbacks that run in a request which waits for the database.
on_silence: list[Callable[[], None]] = []


class BoundedConnection(psycopg.Connection[Any]):
    """Waits DATABASE_SILENCE_TIMEOUT seconds for each response, or less inside `deadline`.

    When the server has closed one connection, it has most likely closed the idle ones of the pool,
    too. The pool is drained then: else it would return them one by one, with a pause after each.
    """

    answered_at = 0.0  # monotonic clock

    @classmethod
    def connect(cls, *args: Any, **options: Any) -> Self:
        """Connect. An attempt that fails leaves no socket open.

        psycopg's error and its frames refer to each other, and to the connection that is not
        finished. Its socket would stay open until the garbage collector runs. A server that was
        frozen serves all these connections when it is back, and has no place for others meanwhile.
        """
        try:
            return super().connect(*args, **options)
        except psycopg.Error as error:
            clear_frames(error.__traceback__)
            raise

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        """Execute a query. Skip the pool's health check for a connection that responded just now.

        The pool's health check is an empty query, once a request. For ALIVE_SECONDS after a
        response the kernel is asked instead: a connection that the server has closed is readable.
        """
        answered_lately = monotonic() < self.answered_at + ALIVE_SECONDS
        if query == "" and answered_lately and not self._is_readable():
            return self.cursor()
        return super().execute(query, *args, **options)

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = settings.DATABASE_SILENCE_TIMEOUT
        deadline = _deadline.get()
        if deadline is not None:
            limit = min(limit, max(MIN_WAIT, deadline - monotonic()))
        try:
            response = self._wait_and_report_silence(gen, interval, timeout or limit)
            self.answered_at = monotonic()
            return response
        except errors._WaitTimeout:
            if timeout is not None:
                raise
            # The rest of the response can still arrive, so this connection cannot be used again.
            self.close()
            raise psycopg.OperationalError("the server is silent") from None
        except psycopg.OperationalError:
            pool = getattr(self, "_pool", None)  # Only the connections of a pool have one.
            if self.closed and isinstance(pool, ConnectionPool):
                pool.drain()
            raise

    def _wait_and_report_silence(self, gen: Any, interval: float, limit: float) -> Any:
        """Wait up to `limit` seconds. Run `on_silence` after SILENCE_SECONDS without a response."""
        if _deadline.get() is None or limit <= SILENCE_SECONDS:
            return super().wait(gen, interval, limit)
        try:
            return super().wait(gen, interval, SILENCE_SECONDS)
        except errors._WaitTimeout:
            for report in on_silence:
                report()
            return super().wait(resume(gen), interval, limit - SILENCE_SECONDS)


def resume(gen: Any) -> Generator[Any, Any, Any]:
    """Return a generator with which a second `wait` continues `gen`, which has already started.

    `wait` begins with `next`. A generator that is sending a statement does not accept that.
    """
    ready: Any = READY_NONE
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted


def connection_problem() -> str:
    """Return why no connection to PostgreSQL can be made, in one line; "" if one can be made.

    The pool only says that it has none. Takes up to 2 seconds.
    """
    try:
        BoundedConnection.connect(**connection.get_connection_params()).close()
    except psycopg.Error as error:
        return str(error).strip().partition("\n")[0].rstrip(".") + "."
    return ""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the time until the last wait for the database in this block ends to `seconds`."""
    token = _deadline.set(monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)
