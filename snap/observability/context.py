"""What log lines belong to: the HTTP request, the ticket and the trace that caused them.

A context variable has them for a request, a task or a handshake. Rows of requests and emails, and
entries of the journal, store them, so that lines of other processes name the same request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol


class LogContext(NamedTuple):
    """The ids of log lines, each "" where there is none. `traceparent` is W3C's header."""

    request_id: str = ""
    ticket_id: str = ""
    traceparent: str = ""


class HasContext(Protocol):
    """A row or an entry that stores its context."""

    @property
    def request_id(self) -> str: ...

    @property
    def ticket_id(self) -> object: ...

    @property
    def traceparent(self) -> str: ...


NONE = LogContext()
_context: ContextVar[LogContext] = ContextVar("log_context", default=NONE)


def current() -> LogContext:
    return _context.get()


def begin(context: LogContext = NONE) -> None:
    """Replace the context, for a new request or task of this thread."""
    _context.set(context)


def set_ticket(ticket_id: object) -> None:
    """Name the ticket that the request or task is about, from here to its end."""
    _context.set(_context.get()._replace(ticket_id=str(ticket_id)))


def set_traceparent(traceparent: str) -> None:
    """Name the trace of the request or task, from here to its end."""
    _context.set(_context.get()._replace(traceparent=traceparent))


def context_of(row: HasContext) -> LogContext:
    """Return the context that a request, an email or an entry of the journal stores."""
    return LogContext(row.request_id, str(row.ticket_id), row.traceparent)


@contextmanager
def following(context: LogContext) -> Iterator[None]:
    """Have lines, rows and emails belong to a context for a while."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


# Defaults of columns.


def current_request_id() -> str:
    return _context.get().request_id


def current_ticket_id() -> str:
    return _context.get().ticket_id


def current_traceparent() -> str:
    return _context.get().traceparent
