"""The channel layer: how a push gets from whoever ended a request to the page that waits for it."""

from asyncio import get_running_loop
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection


class GroupsLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """Redis pub/sub for groups alone, which each process hears by one pattern.

    The package subscribes to two channels for each socket that opens and gives both up when it
    closes, one after the other over one connection: a thousand sockets then wait for seconds.
    A process hears what is meant for the sockets of others too, 0.1 ms each, and drops it.
    """

    def _get_layer(self) -> Any:
        is_there = get_running_loop() in self._layers
        layer = super()._get_layer()
        if not is_there:
            layer._shards = [HearsAllGroups(shard.host, layer) for shard in layer._shards]
        return layer


class HearsAllGroups(RedisSingleShardConnection):  # type: ignore[misc]
    async def subscribe(self, channel: str) -> None:
        """Begin to hear all groups, if that is not so yet. Raises redis.RedisError."""
        if self._subscribed_to:
            return
        async with self._lock:
            if self._subscribed_to:
                return
            self._ensure_redis()
            self._ensure_receiver()
            pattern = self.channel_layer._get_group_channel_name("*")
            await self._pubsub.psubscribe(pattern)
            self._subscribed_to.add(pattern)

    async def unsubscribe(self, channel: str) -> None:
        """Go on to hear all groups: others of this process wait for theirs."""
