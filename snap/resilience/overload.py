"""Protects a web process from overload, around the WSGI application.

Limits how long a body may be and how many requests run at once. A slow upload occupies no place,
visitors with a session are served before new visitors, and no request waits without an end.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from tempfile import SpooledTemporaryFile
from time import perf_counter
from typing import IO, Any

from django.conf import settings
from django.utils.http import parse_header_parameters

log = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

MULTIPART = "multipart/form-data"
REPORTS_PATH = "/webhooks/mail/"
MAX_LENGTH_DIGITS = 18
CHUNK_SIZE = 65_536  # bytes
# Marks in the environment of a request. A client cannot set these keys.
# When the last byte of the request arrived, by `time.perf_counter`.
ARRIVED_AT = "snap.arrived_at"
# The request has waited too long for its turn.
OVERLOADED = "snap.overloaded"
# Django cannot read the content type: some charsets fail before any middleware.
UNREADABLE = "snap.unreadable_content_type"


def announced_length(environ: dict[str, Any]) -> int | None:
    """Return the length that a request announces for its body, in bytes; 0 for no body.

    None for a length that is no number or above the limit: BODY_MAX_SIZE for files of staff,
    REPORT_MAX_SIZE for reports of mail providers, else DATA_UPLOAD_MAX_MEMORY_SIZE. Django's own
    check does not limit uploads to files on disk.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or len(length) > MAX_LENGTH_DIGITS:
        return None
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    path = environ.get("PATH_INFO", "")
    has_files = environ.get("CONTENT_TYPE", "").startswith(MULTIPART)
    if has_files and path.startswith("/admin/"):
        limit = settings.BODY_MAX_SIZE
    elif path.startswith(REPORTS_PATH):
        limit = settings.REPORT_MAX_SIZE
    if int(length) > limit:
        return None
    return int(length)


def is_utf8(content_type: str) -> bool:
    """Return whether a content type can be parsed and names no charset but UTF-8."""
    if ";" not in content_type:
        return True
    try:
        _, parameters = parse_header_parameters(content_type)
    except (ValueError, LookupError):
        return False
    return parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8"}


class PriorityLimiter:
    """Allows `number` requests at once. The others wait in two queues.

    Requests with a session are served first: their visitors have given their phone or hold a
    ticket. Under overload, with a single queue, most visitors would be refused at one of their
    steps, and almost none would reach the end.
    """

    def __init__(self, number: int) -> None:
        self._lock = threading.Lock()
        self._free = number
        self._with_session: deque[threading.Event] = deque()
        self._newcomers: deque[threading.Event] = deque()

    def acquire(self, *, has_session: bool, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a turn, and return whether there was one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Event()
            queue = self._with_session if has_session else self._newcomers
            queue.append(turn)
        if turn.wait(timeout):
            return True
        with self._lock:
            if turn.is_set():  # The turn came after the timeout, before the lock.
                return True
            queue.remove(turn)
            return False

    def release(self) -> None:
        """Give the turn to the next request that waits."""
        with self._lock:
            queue = self._with_session or self._newcomers
            if queue:
                queue.popleft().set()
            else:
                self._free += 1

    def waiting(self) -> int:
        """Return how many requests wait."""
        return len(self._with_session) + len(self._newcomers)


def has_session(environ: dict[str, Any]) -> bool:
    """Return whether a request has a session cookie. A forged one gains nothing but priority."""
    return f"{settings.SESSION_COOKIE_NAME}=" in environ.get("HTTP_COOKIE", "")


class BufferedBody:
    """Reads a request's whole body before the request takes one of `turns` turns.

    A thread of the server waits for each body, as long as the client takes. These threads are many
    and cheap. `turns` is how many requests the application works on at once. A request without a
    turn after `patience` seconds reaches the application marked as OVERLOADED.
    """

    def __init__(self, application: Application, turns: int, patience: float) -> None:
        self._application = application
        self._patience = patience
        self._limiter = PriorityLimiter(turns)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not is_utf8(environ.get("CONTENT_TYPE", "")):
            environ[UNREADABLE] = True
            environ["CONTENT_TYPE"] = "application/octet-stream"
        length = announced_length(environ)
        if length:
            body = buffer_body(environ["wsgi.input"], length)
            if body is None:
                log.info("request_incomplete")
                start_response("400 Bad Request", [("Content-Length", "0")])
                return []
            environ["wsgi.input"] = body
        environ[ARRIVED_AT] = perf_counter()
        if not self._limiter.acquire(has_session=has_session(environ), timeout=self._patience):
            environ[OVERLOADED] = True
            return self._application(environ, start_response)
        try:
            return self._application(environ, start_response)
        finally:
            self._limiter.release()


def buffer_body(source: Any, length: int) -> IO[bytes] | None:
    """Return the whole body, or None if the client disconnected before its end."""
    body = SpooledTemporaryFile(max_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115
    missing = length
    while missing:
        chunk = source.read(min(missing, CHUNK_SIZE))
        if not chunk:
            body.close()
            return None
        body.write(chunk)
        missing -= len(chunk)
    body.seek(0)
    return body
