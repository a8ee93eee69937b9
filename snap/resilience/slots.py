"""Slots limit how much expensive work runs on this host at once, over all processes and threads.

A slot is a lock on a file (flock). The kernel releases the lock when the process that holds it
ends, for whatever reason.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from django.conf import settings

POLL_INTERVAL = 0.02  # seconds


class BusyError(Exception):
    """All slots for this work are taken. Another try may succeed a moment later."""


class Slots:
    """`number` slots for one kind of work.

    In each process at most `waiters` threads hold a slot or wait for one, so that many requests for
    such work leave the other threads of the process free.
    """

    def __init__(self, name: str, number: int, *, waiters: int = 2, timeout: float = 1.0) -> None:
        self._name = name
        self._number = number
        self._timeout = timeout
        self._waiters = threading.BoundedSemaphore(waiters)

    @contextmanager
    def hold_one(self) -> Iterator[None]:
        """Hold a slot for the length of a block. Raises BusyError after `timeout` seconds."""
        if not self._waiters.acquire(blocking=False):
            raise BusyError(self._name)
        try:
            descriptor = self._wait_for_lock()
            try:
                yield
            finally:
                os.close(descriptor)
        finally:
            self._waiters.release()

    def _wait_for_lock(self) -> int:
        """Return the descriptor that holds a lock. Raises BusyError after `timeout` seconds."""
        give_up_at = monotonic() + self._timeout
        folder: Path = settings.SLOTS_DIR
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            for number in range(self._number):
                descriptor = _lock(folder / f"{self._name}-{number}")
                if descriptor is not None:
                    return descriptor
            if monotonic() >= give_up_at:
                raise BusyError(self._name)
            sleep(POLL_INTERVAL)


def _lock(path: Path) -> int | None:
    """Return the descriptor that holds the file's lock, or None if the lock is taken."""
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
