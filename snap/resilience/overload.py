"""Requests and their turns: how long a body may be, that a slow one keeps nobody else out, that
nobody waits for a turn for ever, and that whoever is on their way goes before a newcomer.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings
from django.utils.http import parse_header_parameters

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

FILES = "multipart/form-data"
LONGEST_LENGTH = 18  # digits
PIECE = 65_536
# What a request that got no turn is marked with in its environment. No client can send this.
OVERLOADED = "snap.overloaded"
# The same for a content type that Django cannot read: some charsets fail before any middleware.
UNREADABLE = "snap.unreadable_content_type"


def announced_length(environ: dict[str, Any]) -> int | None:
    """Return how long a body says it is: 0 without one, None when that is too long or no number.

    Staff may send files. Django itself counts what is in memory, and not what it would write to the
    disk.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    has_files = environ.get("CONTENT_TYPE", "").startswith(FILES)
    is_staff = environ.get("PATH_INFO", "").startswith("/admin/")
    most = (
        settings.BODY_MAX_SIZE if has_files and is_staff else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    )
    if not length.isdecimal() or len(length) > LONGEST_LENGTH or int(length) > most:
        return None
    return int(length)


def is_utf8(content_type: str) -> bool:
    """Say whether a content type can be parsed and names no charset but UTF-8."""
    if ";" not in content_type:
        return True
    try:
        _, parameters = parse_header_parameters(content_type)
    except (ValueError, LookupError):
        return False
    return parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8"}


class PriorityLimiter:
    """`number` of turns at the same time, and a line of those who wait for one.

    In the line whoever has a session goes first: they have given their phone, or hold a ticket.
    With more people than can be served all would otherwise lose their turn at some step of the way,
    and hardly anybody get to its end.
    """

    def __init__(self, number: int) -> None:
        self._lock = threading.Lock()
        self._free = number
        self._line: dict[bool, deque[threading.Event]] = {True: deque(), False: deque()}

    def take(self, *, is_on_the_way: bool, patience: float) -> bool:
        """Wait up to `patience` seconds for a turn, and say whether there was one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            called = threading.Event()
            self._line[is_on_the_way].append(called)
        if called.wait(patience):
            return True
        with self._lock:
            if called.is_set():  # At the last moment.
                return True
            self._line[is_on_the_way].remove(called)
            return False

    def give_back(self) -> None:
        with self._lock:
            for line in (self._line[True], self._line[False]):
                if line:
                    line.popleft().set()
                    return
            self._free += 1


def is_on_the_way(environ: dict[str, Any]) -> bool:
    """Say whether a request comes with a session. Who feigns one gains no more than a place."""
    return f"{settings.SESSION_COOKIE_NAME}=" in environ.get("HTTP_COOKIE", "")


class BufferedBody:
    """Has a request's body complete before the application gives it one of its turns.

    A thread of the server waits for each body, as long as the sender pleases. Those threads are
    many and cheap; the turns are what `turns` of them may do at once. Who gets none in `patience`
    seconds goes on without, marked with NO_TURN: more come than can be served.
    """

    def __init__(self, application: Application, turns: int, patience: float) -> None:
        self._application = application
        self._patience = patience
        self._turns = PriorityLimiter(turns)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not is_utf8(environ.get("CONTENT_TYPE", "")):
            environ[UNREADABLE] = True
            environ["CONTENT_TYPE"] = "application/octet-stream"
        length = announced_length(environ)
        if length:
            body = read_whole(environ["wsgi.input"], length)
            if body is None:
                start_response("400 Bad Request", [("Content-Length", "0")])
                return []
            environ["wsgi.input"] = body
        if not self._turns.take(is_on_the_way=is_on_the_way(environ), patience=self._patience):
            environ[OVERLOADED] = True
            return self._application(environ, start_response)
        try:
            return self._application(environ, start_response)
        finally:
            self._turns.give_back()


def read_whole(source: Any, length: int) -> IO[bytes] | None:
    """Return a body once all of it has come, None if its sender left."""
    body = SpooledTemporaryFile(max_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115
    missing = length
    while missing:
        piece = source.read(min(missing, PIECE))
        if not piece:
            body.close()
            return None
        body.write(piece)
        missing -= len(piece)
    body.seek(0)
    return body
