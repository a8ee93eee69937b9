"""What is pushed to open pages, as the channel layer's Redis sees it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from channels.layers import get_channel_layer
from django.conf import settings
from redis import Redis

# A group and its message.
Push = tuple[str, dict[str, Any]]

PREFIX = b"__group__"
# Seconds until a pushed message has arrived here.
PATIENCE = 2.0


@contextmanager
def listening() -> Iterator[Callable[[int], list[Push]]]:
    """Listen to all groups. Yield a function that returns the next messages, at least `expected`.

    It waits for the expected ones, and returns those that have arrived by then.
    """
    layer: Any = get_channel_layer()
    with Redis.from_url(settings.CHANNELS_URL) as redis, redis.pubsub() as pubsub:
        pubsub.psubscribe("*__group__*")
        pubsub.get_message(timeout=PATIENCE)

        def receive(expected: int) -> list[Push]:
            pushes: list[Push] = []
            while raw := pubsub.get_message(timeout=PATIENCE if len(pushes) < expected else 0):
                group = raw["channel"].partition(PREFIX)[2].decode()
                pushes.append((group, layer.deserialize(raw["data"])))
            return pushes

        yield receive
