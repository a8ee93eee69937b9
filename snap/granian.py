"""granian as SNAP runs it: `python -m snap.granian --interface wsgi …`.

granian's supervisor waits for a `threading.Event`, which its signal handlers set. Such an event has
a lock that is not reentrant: a signal that comes while the main thread holds it, such as a second
SIGTERM, waits for itself, and the process never ends. Here the supervisor waits for a pipe.
"""

import copy
import logging
import os
import select
from contextlib import suppress
from typing import Any

from granian import log as granian_log
from granian.cli import entrypoint
from granian.server.common import AbstractServer

from snap.observability.logs import make_formatter

# Bytes that one call reads at most. Each signal writes one.
PIPE_SIZE = 1 << 16


class PipeEvent:
    """A `threading.Event` that a signal handler may set at any moment."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def set(self) -> None:
        with suppress(BlockingIOError):  # A full pipe is set.
            os.write(self._writer, b"\0")

    def clear(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._reader, PIPE_SIZE):
                pass

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, at most `timeout` seconds. Return whether it is."""
        return bool(select.select([self._reader], [], [], timeout)[0])

    def is_set(self) -> bool:
        return self.wait(0)


_create_server = AbstractServer.__init__


def create_server(self: Any, *args: Any, **options: Any) -> None:
    _create_server(self, *args, **options)
    self.main_loop_interrupt = PipeEvent()


class NoAdvice(logging.Filter):
    """Drops granian's advice about WEB_WAITING_THREADS, which is that high on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Configuration allows spawning up to")


def use_our_lines() -> None:
    """Write granian's own lines in LOG_FORMAT, in the supervisor and until a worker has settings.

    Celery, uvicorn and manage.py read the settings before their first line.
    """
    config: dict[str, Any] = copy.deepcopy(granian_log.LOGGING_CONFIG)
    kind = os.environ.get("LOG_FORMAT", "").strip()
    for formatter in config["formatters"].values():
        formatter.clear()
        formatter.update({"()": make_formatter, "kind": kind})
    config["filters"] = {"advice": {"()": NoAdvice}}
    for handler in config["handlers"].values():
        handler |= {"stream": "ext://sys.stderr", "filters": ["advice"]}
    granian_log.LOGGING_CONFIG = config


use_our_lines()

if __name__ == "__main__":
    AbstractServer.__init__ = create_server  # type: ignore[method-assign]
    entrypoint()  # type: ignore[no-untyped-call]
