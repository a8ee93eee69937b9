"""Rate limits that all processes count together, in Redis.

One script in Redis checks all limits of a request in one round trip, by the clock of Redis. There
are three kinds of limit:

- A `Layer` counts requests a minute, in slices of SLICE seconds. The oldest slice counts in full
  until all of it is more than a minute old, so no period of 60 seconds has more requests than the
  limit.
- A `DistinctLimit` counts different values, such as phones, in a window that begins with the first
  value. A value that was counted before passes and is not counted again.
- A block refuses a key until it expires. `block_for` sets a block.

While Redis is away, each process counts by itself (`snap.limits.counters_without_redis`).
"""

import logging
from collections.abc import Sequence
from functools import cache
from math import ceil
from typing import Any

from django.conf import settings
from prometheus_client import Counter
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from snap.limits.counters_without_redis import SLICE, SLICES, LocalCounters
from snap.limits.layers import WINDOW, Decision, DistinctLimit, Layer, LayerStatus, hash_of
from snap.local_cache import on_reset
from snap.resilience.breaker import Breaker

log = logging.getLogger(__name__)

# Seconds after which a request tries Redis again if the breaker's probe hangs.
BREAKER_PAUSE = 5.0

rate_limit_hits = Counter("rate_limit_hits", "Requests that were past a limit", ["layer"])
local_counters = LocalCounters()
on_reset(local_counters.clear)

# KEYS: a hash for each layer (slice -> count), a set for each distinct limit, a key for each block.
# ARGV: the number of layers, the number of distinct limits, the window of distinct limits in
# seconds, the limit of each layer, then the limit and the value of each distinct limit.
# Returns "remaining,milliseconds until that grows" for each layer and distinct limit, then
# "0,milliseconds until it ends" for each block. `remaining` is -1 for a limit that refuses. A
# distinct limit that does not refuse has 0 milliseconds; no caller reads them.
# Counts the request in all limits if all let it pass, else in none.
ACQUIRE = f"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local slice = math.floor(now / {SLICE})
local layers, distincts = tonumber(ARGV[1]), tonumber(ARGV[2])
local passes, replies, new = true, {{}}, {{}}
for i = 1, layers do
  local limit, count, first = tonumber(ARGV[i + 3]), 0, nil
  local pairs_ = redis.call('HGETALL', KEYS[i])
  for j = 1, #pairs_, 2 do
    local at = tonumber(pairs_[j])
    if at < slice - {SLICES} then
      redis.call('HDEL', KEYS[i], pairs_[j])
    else
      count = count + tonumber(pairs_[j + 1])
      if first == nil or at < first then first = at end
    end
  end
  local left = limit - count
  local reset = math.ceil((((first or slice) + {SLICES} + 1) * {SLICE} - now) * 1000)
  if left < 1 then
    passes = false
    replies[i] = '-1,' .. reset
  else
    replies[i] = (left - 1) .. ',' .. reset
  end
end
for i = 1, distincts do
  local key, at = KEYS[layers + i], 3 + layers + 2 * i
  local left = tonumber(ARGV[at - 1]) - redis.call('SCARD', key)
  local wait = 0
  if redis.call('SISMEMBER', key, ARGV[at]) == 0 then
    new[#new + 1] = i
    left = left - 1
    if left < 0 then
      passes = false
      wait = math.max(0, redis.call('PTTL', key))
    end
  else
    left = math.max(0, left)
  end
  replies[layers + i] = math.max(-1, left) .. ',' .. wait
end
for i = layers + distincts + 1, #KEYS do
  local blocked = redis.call('PTTL', KEYS[i])
  if blocked > 0 then passes = false end
  replies[i] = '0,' .. math.max(0, blocked)
end
if passes then
  for i = 1, layers do
    redis.call('HINCRBY', KEYS[i], slice, 1)
    redis.call('EXPIRE', KEYS[i], {WINDOW + SLICE + 1})
  end
  for _, i in ipairs(new) do
    local key = KEYS[layers + i]
    local is_first = redis.call('EXISTS', key) == 0
    redis.call('SADD', key, ARGV[3 + layers + 2 * i])
    if is_first then redis.call('EXPIRE', key, ARGV[3]) end
  end
end
return table.concat(replies, ';')
"""

# KEYS: lines. ARGV: places a minute for each line. A line stores the time at which all its members
# have had their turn (generic cell rate algorithm): the places of one minute are free at once, the
# next ones follow one by one. Returns the milliseconds until the newcomer's turn in each line.
RESERVE_TURNS = f"""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local waits = {{}}
for i = 1, #KEYS do
  local free_at = math.max(now, tonumber(redis.call('GET', KEYS[i]) or '0'))
  free_at = free_at + {WINDOW * 1000} / tonumber(ARGV[i])
  redis.call('SET', KEYS[i], string.format('%.3f', free_at), 'PX', math.ceil(free_at - now) + 1000)
  waits[i] = math.max(0, math.ceil(free_at - now - {WINDOW * 1000}))
end
return table.concat(waits, ';')
"""


def acquire(
    layers: Sequence[Layer],
    blocks: Sequence[str] = (),
    distinct_limits: Sequence[DistinctLimit] = (),
) -> Decision:
    """Count one request in all limits, or in none if a limit or a block refuses the request.

    `blocks` are names that `block_for` was called with. One round trip, at most REDIS_TIMEOUT
    seconds. Without Redis this process counts alone, and blocks do not apply.
    """
    keys = [layer.key for layer in layers]
    arguments: list[int | str] = [len(layers), len(distinct_limits), settings.LIMIT_PHONES_WINDOW]
    arguments += [layer.limit for layer in layers]
    for limit in distinct_limits:
        keys.append(limit.key)
        arguments += (limit.limit, hash_of(limit.value))
    keys += map(_block_key, blocks)
    reply = _run_script(ACQUIRE, keys, arguments)
    if reply is None:
        return acquire_locally(layers, distinct_limits)
    return _decision_from([*layers, *distinct_limits], list(map(_numbers, reply.split(";"))))


def acquire_locally(
    layers: Sequence[Layer], distinct_limits: Sequence[DistinctLimit] = ()
) -> Decision:
    """Count one request like `acquire`, but only in this process: no round trip, no blocks."""
    replies = local_counters.acquire(layers, distinct_limits)
    return _decision_from([*layers, *distinct_limits], replies, is_local=True)


def reserve_turns(lines: Sequence[Layer]) -> float:
    """Add a newcomer to waiting lines. Return the seconds until the newcomer's turn in all of them.

    `limit` places a minute are free at once (0 seconds); then one every 60/limit seconds. One round
    trip, at most REDIS_TIMEOUT seconds.
    """
    keys = [f"{line.key}:line" for line in lines]
    rates = [line.limit for line in lines]
    reply = _run_script(RESERVE_TURNS, keys, rates)
    if reply is None:
        waits = local_counters.reserve_turns(keys, rates)
    else:
        waits = list(map(int, reply.split(";")))
    for line, wait in zip(lines, waits, strict=True):
        if wait:
            rate_limit_hits.labels(line.name).inc()
    return max(waits) / 1000


def block_for(name: str, seconds: int) -> None:
    """Set a block: `acquire` refuses requests that name it for `seconds`."""
    _run_command("SET", _block_key(name), 1, "EX", max(1, seconds))


def use_once(name: str, seconds: int) -> bool:
    """Return whether the name is used for the first time in `seconds`. False without Redis."""
    return bool(_run_command("SET", f"once:{hash_of(name)}", 1, "NX", "EX", max(1, seconds)))


def _block_key(name: str) -> str:
    return f"block:{hash_of(name)}"


def _numbers(reply: str) -> tuple[int, int]:
    remaining, _, milliseconds = reply.partition(",")
    return int(remaining), int(milliseconds)


def _decision_from(
    layers: Sequence[Layer | DistinctLimit],
    replies: Sequence[tuple[int, int]],
    *,
    is_local: bool = False,
) -> Decision:
    """Return the decision for replies of (remaining, milliseconds): first layers, then blocks."""
    statuses = []
    for layer, (remaining, wait) in zip(layers, replies, strict=False):
        status = LayerStatus(layer, remaining >= 0, max(0, remaining), ceil(wait / 1000))
        statuses.append(status)
    blocked = 0
    for _, wait in replies[len(layers) :]:
        blocked = max(blocked, wait)
    return Decision(tuple(statuses), ceil(blocked / 1000), is_local)


# Redis -------------------------------------------------------------------------------------------


@cache
def _redis() -> Redis:
    """Return this process's client: its own pool, short timeouts, no retry."""
    return Redis.from_url(
        settings.LIMITS_URL,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        socket_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def _ping() -> bool:
    try:
        return bool(_redis().ping())
    except (RedisError, OSError):
        return False


# While the breaker is open, no request waits REDIS_TIMEOUT for Redis.
limits_breaker = Breaker("limits", threshold=1, pause=BREAKER_PAUSE, probe=_ping)
on_reset(limits_breaker.succeeded)


@cache
def _script_hash(script: str) -> str:
    """Load a script into Redis and return the hash by which Redis knows it."""
    return str(_redis().script_load(script))


def _close_client() -> None:
    """Close the client. The next request makes another one and loads the scripts again."""
    if _redis.cache_info().currsize:
        _redis().close()
    _redis.cache_clear()
    _script_hash.cache_clear()


on_reset(_close_client)


def _run_script(script: str, keys: Sequence[str], arguments: Sequence[int | str]) -> str | None:
    """Return the reply of a script, or None while Redis is away."""
    reply = _run_command("EVALSHA", script, len(keys), *keys, *arguments)
    if reply is None:
        return None
    return str(reply)


def _run_command(name: str, *arguments: object) -> object:
    """Return the reply of a command, or None while Redis is away."""
    if not limits_breaker.allows():
        return None
    try:
        reply = _send(name, *arguments)
    except (RedisError, OSError) as error:
        limits_breaker.suspect()
        log.warning("limits_unavailable", extra={"error": type(error).__name__})
        return None
    limits_breaker.succeeded()
    return reply


def _send(name: str, *arguments: object) -> object:
    client: Any = _redis()
    if name != "EVALSHA":
        return client.execute_command(name, *arguments)
    script, *rest = arguments
    try:
        return client.execute_command(name, _script_hash(str(script)), *rest)
    except RedisError as error:
        # Redis was restarted and does not know the script any more.
        if "NOSCRIPT" not in f"{type(error).__name__} {error}".upper():
            raise
        return client.execute_command("EVAL", *arguments)
