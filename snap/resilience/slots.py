"""Slots: how much expensive work runs on this host at once, over all processes and threads.

A slot is a lock on a file (flock): the kernel releases it when its holder ends, however it ends.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from django.conf import settings

LOOK_EVERY = 0.02  # seconds


class BusyError(Exception):
    """All slots for this work are taken. Try again in a moment."""


class Slots:
    """`number` slots for one kind of work.

    In each process at most `waiters` threads wait for one or hold one: a flood of such work
    leaves the process's other threads to everybody else.
    """

    def __init__(self, name: str, number: int, *, waiters: int = 2, patience: float = 1.0) -> None:
        self._name = name
        self._number = number
        self._patience = patience
        self._waiters = threading.BoundedSemaphore(waiters)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot for the length of a block. Raises BusyError after `patience` seconds."""
        if not self._waiters.acquire(blocking=False):
            raise BusyError(self._name)
        try:
            held = self._wait()
            try:
                yield
            finally:
                os.close(held)
        finally:
            self._waiters.release()

    def _wait(self) -> int:
        give_up_at = monotonic() + self._patience
        while True:
            for path in self._paths():
                if (held := _lock(path)) is not None:
                    return held
            if monotonic() >= give_up_at:
                raise BusyError(self._name)
            sleep(LOOK_EVERY)

    def _paths(self) -> list[Path]:
        folder: Path = settings.SLOTS_DIR
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [folder / f"{self._name}-{number}" for number in range(self._number)]


def _lock(path: Path) -> int | None:
    """Return the descriptor that holds the file's lock, None if the lock is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
