"""What workers tell the broker about themselves: that they are connected to it, by queue.

A worker that cannot reach its broker, or ends again and again, leaves no trace in the database
while no request is due. /readyz looks here as well.
"""

from collections.abc import Iterable
from contextlib import suppress

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

# Seconds between the heartbeats of a worker, and after the last one at which it counts as away.
HEARTBEAT_INTERVAL = 2.0
HEARTBEAT_SECONDS = 15
# The queue without whose worker no request is ended in time.
MAIN_QUEUE = "guests"
QUEUES = (MAIN_QUEUE, "codes", "emails")
PREFIX = "snap:worker:"
WRITTEN_KEY = "snap:written"


def record_heartbeat(queues: Iterable[str]) -> None:
    """Note in the broker that a worker of these queues is connected to it."""
    with suppress(RedisError), _broker() as broker:
        for queue in queues:
            broker.set(PREFIX + queue, 1, ex=HEARTBEAT_SECONDS)


def forget_heartbeats() -> None:
    """Remove what workers of an earlier run have noted. Raises RedisError."""
    with _broker() as broker:
        broker.delete(*(PREFIX + queue for queue in QUEUES))


def has_heartbeat(queue: str) -> bool:
    """Return whether a worker of a queue is connected to the broker. Raises RedisError."""
    with _broker() as broker:
        return bool(broker.exists(PREFIX + queue))


def broker_and_workers() -> tuple[bool, bool]:
    """Return whether the broker takes writes, and whether a worker of MAIN_QUEUE is connected.

    A broker whose disk is full responds, but takes no message. One round trip of REDIS_TIMEOUT
    seconds at most. Workers of the release before note nothing, so they do not count.
    """
    try:
        with _broker() as broker, broker.pipeline(transaction=False) as pipeline:
            pipeline.set(WRITTEN_KEY, 1, ex=HEARTBEAT_SECONDS)
            pipeline.exists(PREFIX + MAIN_QUEUE)
            _, is_connected = pipeline.execute()
    except RedisError:
        return False, False
    return True, bool(is_connected)


def _broker() -> Redis:
    return Redis.from_url(
        settings.BROKER_URL,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        socket_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
