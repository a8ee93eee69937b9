"""The threads that hand emails to providers, each on its own kept connections.

They touch no database. Bulk emails and codes have threads of their own, so that a code never waits
for a connection that a bulk email uses.
"""

import logging
import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Lock, Thread

from django.conf import settings

from notifications.providers import providers

log = logging.getLogger(__name__)

# Seconds after which a thread without work closes its connections and ends.
IDLE_SECONDS = 20.0

# Threads for emails that people wait for.
CODE_SENDERS = 8


class SenderThreads:
    """Runs at most `size()` jobs at once, each in a thread. Threads are started when needed."""

    def __init__(self, name: str, size: Callable[[], int]) -> None:
        self._name = name
        self._size = size
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = Lock()
        self._threads = 0
        self._slots = BoundedSemaphore(self._size())

    def acquire(self, timeout: float) -> bool:
        """Reserve a thread for one job. Return False if none is free within `timeout` seconds."""
        if timeout <= 0:
            return self._slots.acquire(blocking=False)
        return self._slots.acquire(timeout=timeout)

    def release(self) -> None:
        """Give back a reserved thread for which there is no job."""
        self._slots.release()

    def run(self, job: Callable[[], None]) -> None:
        """Run a job in the reserved thread. An error is logged."""
        self._jobs.put(job)
        with self._lock:
            if self._threads >= self._size():
                return
            if self._threads and self._jobs.empty():
                return
            self._threads += 1
            number = self._threads
        Thread(target=self._work, name=f"{self._name} {number}", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if not self._jobs.empty():
                        continue
                    self._threads -= 1
                break
            try:
                job()
            except Exception:
                log.exception("sender_failed")
            finally:
                self._slots.release()
        for provider in providers():
            provider.close()


bulk_senders = SenderThreads("email sender", lambda: settings.EMAIL_CONNECTIONS)
code_senders = SenderThreads("code sender", lambda: CODE_SENDERS)
