"""The channel layer: carries pushes from the process that ends a request to open sockets."""

from asyncio import get_running_loop
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection


class GroupChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """A Redis pub/sub layer for groups only. Each process subscribes to one pattern for all groups.

    The package subscribes to two channels for each socket that opens and unsubscribes when it
    closes, one after the other over one connection: a thousand sockets then wait for seconds. With
    the pattern a process also receives the messages for sockets of other processes, 0.1 ms each,
    and drops them.
    """

    def _get_layer(self) -> Any:
        is_new = get_running_loop() not in self._layers
        layer = super()._get_layer()
        if is_new:
            layer._shards = [AllGroupsConnection(shard.host, layer) for shard in layer._shards]
        return layer

    def count_members(self, group: str) -> int:
        """Return the number of sockets of this process in a group."""
        layer = self._get_layer()
        return len(layer.groups.get(layer._get_group_channel_name(group), ()))


class AllGroupsConnection(RedisSingleShardConnection):  # type: ignore[misc]
    async def subscribe(self, channel: str) -> None:
        """Subscribe to all groups, once. Raises redis.RedisError."""
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
        """Do nothing: other sockets of this process need the subscription."""
