"""Messages over Redis with which a process tells all others that a server is back."""

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
    """A Redis pub/sub channel for messages without a body.

    A message only ends a wait early: each process that receives one checks the server itself. So a
    message may be lost, arrive twice, or be forged by a client of Redis. Without Redis each process
    waits its full time.
    """

    def __init__(self, name: str) -> None:
        self._channel = f"recovery:{name}"
        self._subscription: Any = None
        os.register_at_fork(after_in_child=self._unsubscribe)

    def publish(self) -> None:
        """Tell all other processes, and unsubscribe this one. Takes up to REDIS_TIMEOUT seconds."""
        self._unsubscribe()
        with suppress(RedisError, OSError), _redis() as redis:
            redis.publish(self._channel, "")

    def wait(self, seconds: float) -> None:
        """Wait for a message, at most `seconds`. Not for two threads at the same time."""
        until = monotonic() + seconds
        try:
            if self._subscription is None:
                redis: Any = _redis()
                self._subscription = redis.pubsub(ignore_subscribe_messages=True)
                self._subscription.subscribe(self._channel)
            while (left := until - monotonic()) > 0:
                if self._subscription.get_message(timeout=left):
                    return
        except (RedisError, OSError):
            self._unsubscribe()
            sleep(max(0.0, until - monotonic()))

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()


def _redis() -> Redis:
    return Redis.from_url(
        settings.BROKER_URL,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        socket_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
