"""What one process tells all others over Redis: that a server which was away is back."""

import os
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry


class RecoveryChannel:
    """A message without a body, for whoever waits for it at the moment.

    It only ends a wait early: who hears it looks for themselves. So a message may be lost, come
    twice, or be forged by somebody in Redis. Without Redis each process waits out its time.
    """

    def __init__(self, name: str) -> None:
        self._channel = f"news:{name}"
        self._heard: Any = None
        os.register_at_fork(after_in_child=self._forget)

    def tell(self) -> None:
        """Tell all other processes, and stop to listen. Takes up to REDIS_TIMEOUT."""
        self._forget()
        with suppress(RedisError, OSError), _redis() as redis:
            redis.publish(self._channel, "")

    def wait(self, seconds: float) -> None:
        """Wait so long, or until another process tells. Not for two threads at a time."""
        until = monotonic() + seconds
        try:
            if self._heard is None:
                redis: Any = _redis()
                self._heard = redis.pubsub(ignore_subscribe_messages=True)
                self._heard.subscribe(self._channel)
            while (left := until - monotonic()) > 0:
                if self._heard.get_message(timeout=left):
                    return
        except (RedisError, OSError):
            self._forget()
            sleep(max(0.0, until - monotonic()))

    def _forget(self) -> None:
        heard, self._heard = self._heard, None
        if heard is not None:
            heard.close()


def _redis() -> Redis:
    return Redis.from_url(
        settings.BROKER_URL,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        socket_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
