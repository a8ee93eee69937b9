"""Waking workers up. The rows in PostgreSQL are the record; a message only says "look"."""

import logging
import os
import threading
from time import monotonic, sleep

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

RETRY_EVERY = 1.0  # seconds, while the broker is away


class WakeUp:
    """One message for many rows, sent from a thread of its own.

    Whoever committed a row calls the object and goes on at once: neither a burst nor a broker that
    hangs costs a request anything. A burst becomes a message every `interval` seconds, the first
    one without delay, however many processes take part in it: what one of them sends has the rows
    of all looked for. A message that is lost costs at most one sweep interval.
    """

    def __init__(self, task: str, *, interval: float) -> None:
        self.task = task
        self.interval = interval
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        # When the broker last failed us (monotonic clock); None once it has taken a message.
        self.failed_at: float | None = None
        self._publishing_since: float | None = None

    def is_failing(self) -> bool:
        """Say whether the broker has failed us last, or keeps a message waiting now."""
        since = self._publishing_since
        is_stuck = since is not None and monotonic() > since + settings.REDIS_TIMEOUT
        return self.failed_at is not None or is_stuck

    def __call__(self) -> None:
        self._wanted.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._publish_forever, name=f"wake-up {self.task}", daemon=True
                    )
                    self._thread.start()

    def _publish_forever(self) -> None:
        while True:
            self._wanted.wait()
            self._publish_in_turn()
            sleep(self.interval if self.failed_at is None else max(self.interval, RETRY_EVERY))

    def _publish_in_turn(self) -> None:
        """Send a message, unless one of another process is so recent that this one can wait."""
        self._publishing_since = monotonic()
        try:
            if not self._has_turn():
                return
            self._wanted.clear()
            current_app.send_task(self.task, ignore_result=True, expires=60)
        except (OperationalError, OSError):
            if self.failed_at is None:
                log.warning("wake_up_failed", extra={"task": self.task})
            self.failed_at = monotonic()
            # It goes on by itself until the broker is back: no request is a trial.
            self._wanted.set()
        else:
            self.failed_at = None
        finally:
            self._publishing_since = None

    def _has_turn(self) -> bool:
        # Whoever the broker has failed does not ask: only a message of its own shows that it is
        # back. The cache says None when it is away: then every process has turns of its own.
        return (
            self.failed_at is not None
            or cache.add(f"wake-up:{self.task}", 1, self.interval) is not False
        )
