"""Messages that wake workers. They have no content: the work itself is rows in PostgreSQL."""

import logging
import os
import threading
from time import monotonic, sleep

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

RETRY_INTERVAL = 1.0  # seconds between two tries while the broker is away


class WakeUp:
    """Sends one message of a task for many rows, from its own thread.

    A caller that has committed a row calls the object, which returns at once: neither a burst of
    rows nor a broker that hangs delays a request. In a burst, all processes together send one
    message every `interval` seconds, the first one without delay. One message is enough for the
    rows of all processes, because workers look for all due rows. A lost message delays work by at
    most one sweep interval.
    """

    def __init__(self, task: str, *, interval: float) -> None:
        self.task = task
        self.interval = interval
        # Django logs this name when a hook that runs after a commit fails.
        self.__qualname__ = f"WakeUp({task})"
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        # When a message last failed (monotonic clock); None after one that the broker accepted.
        self.failed_at: float | None = None
        self._publishing_since: float | None = None

    def is_failing(self) -> bool:
        """Return whether the last message failed, or one has been waiting for REDIS_TIMEOUT."""
        since = self._publishing_since
        is_stuck = since is not None and monotonic() > since + settings.REDIS_TIMEOUT
        return self.failed_at is not None or is_stuck

    def __call__(self) -> None:
        self._wanted.set()
        if self._thread is None:
            self._start_thread()

    def _start_thread(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._publish_forever, name=f"wake-up {self.task}", daemon=True
                )
                self._thread.start()

    def _publish_forever(self) -> None:
        while True:
            self._wanted.wait()
            self._publish()
            if self.failed_at is None:
                sleep(self.interval)
            else:
                sleep(max(self.interval, RETRY_INTERVAL))

    def _publish(self) -> None:
        """Send a message, unless another process has sent one in this interval."""
        self._publishing_since = monotonic()
        try:
            if not self._has_turn():
                return
            self._wanted.clear()
            current_app.send_task(self.task, ignore_result=True, expires=60)
        except (OperationalError, RedisError, OSError):
            if self.failed_at is None:
                log.warning("wake_up_failed", extra={"task": self.task})
            self.failed_at = monotonic()
            # The thread retries until the broker is back, also without another call.
            self._wanted.set()
        else:
            self.failed_at = None
        finally:
            self._publishing_since = None

    def _has_turn(self) -> bool:
        """Return whether this process may send a message in this interval."""
        # After a failure only a message of this process shows that the broker is back.
        if self.failed_at is not None:
            return True
        # The cache returns None while it is away: then each process sends its own messages.
        return cache.add(f"wake-up:{self.task}", 1, self.interval) is not False
