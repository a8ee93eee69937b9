"""Requests and their turns: how long a body may be, that a slow one keeps nobody else out, and that
nobody waits for a turn for ever.
"""

from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

FILES = "multipart/form-data"
LONGEST_LENGTH = 18  # digits
PIECE = 65_536
# What a request that got no turn is marked with in its environment. No client can send this.
NO_TURN = "snap.no_turn"


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


class BodiesFirst:
    """Has a request's body complete before the application gives it one of its turns.

    A thread of the server waits for each body, as long as the sender pleases. Those threads are
    many and cheap; the turns are what `turns` of them may do at once. Who gets none in `patience`
    seconds goes on without, marked with NO_TURN: more come than can be served.
    """

    def __init__(self, application: Application, turns: int, patience: float) -> None:
        self._application = application
        self._patience = patience
        self._turns: SimpleQueue[None] = SimpleQueue()
        for _ in range(turns):
            self._turns.put(None)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        length = announced_length(environ)
        if length:
            body = read_whole(environ["wsgi.input"], length)
            if body is None:
                start_response("400 Bad Request", [("Content-Length", "0")])
                return []
            environ["wsgi.input"] = body
        try:
            self._turns.get(timeout=self._patience)
        except Empty:
            environ[NO_TURN] = True
            return self._application(environ, start_response)
        try:
            return self._application(environ, start_response)
        finally:
            self._turns.put(None)


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
