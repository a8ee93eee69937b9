"""How often something may happen, counted over all processes.

One script in Redis checks everything that limits a request in one round trip, by Redis' own clock.
There are three kinds of limit:

- A `Layer` counts requests a minute. A minute is counted in slices, and the slice that is only
  partly over still counts in full: in no sixty seconds, wherever they begin, does more than the
  limit pass.
- A `Distinct` counts different values, such as phones, in a window that begins with the first. A
  value that was counted already passes and costs nothing.
- A block refuses a key until it expires. `block_for` sets one.

While Redis does not answer, each process counts by itself, in bounded tables.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from math import ceil
from time import monotonic
from typing import Any

from django.conf import settings
from prometheus_client import Counter
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from snap.resilience.breaker import Breaker

log = logging.getLogger(__name__)

WINDOW = 60  # seconds
SLICE = 5  # seconds
SLICES = WINDOW // SLICE
# Keys that a process counts by itself while Redis is away; the oldest go first.
LOCAL_KEYS = 10_000
LOCAL_SETS = 2_000
# Seconds after which a request tries Redis again, should the breaker's probe hang.
STORE_PAUSE = 5.0

hits = Counter("rate_limit_hits", "Requests that were past a limit", ["layer"])

# KEYS: one hash a layer, slice -> count; one set a distinct; one key for each block.
# ARGV: the number of layers and of distincts, the seconds of a distinct's window, the limit of each
# layer, then limit and value of each distinct.
# Returns "remaining,milliseconds until that grows" for each layer and distinct (-1 remaining:
# refused; a distinct that lets pass says 0 milliseconds, which nobody reads), then the milliseconds
# until each block ends. Nothing is counted unless all let it pass.
ACQUIRE = f"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local slice = math.floor(now / {SLICE})
local layers, distincts = tonumber(ARGV[1]), tonumber(ARGV[2])
local passes, said, new = true, {{}}, {{}}
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
    said[i] = '-1,' .. reset
  else
    said[i] = (left - 1) .. ',' .. reset
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
  said[layers + i] = math.max(-1, left) .. ',' .. wait
end
for i = layers + distincts + 1, #KEYS do
  local blocked = redis.call('PTTL', KEYS[i])
  if blocked > 0 then passes = false end
  said[i] = '0,' .. math.max(0, blocked)
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
return table.concat(said, ';')
"""

# KEYS: lines. ARGV: for each the places a minute. A line is the moment at which all who stand in it
# are through (generic cell rate): a minute's places are free at once, then one after another.
# Answers the milliseconds until the newcomer's turn, the longest of all lines.
STAND = f"""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local said = {{}}
for i = 1, #KEYS do
  local through = math.max(now, tonumber(redis.call('GET', KEYS[i]) or '0'))
  through = through + {WINDOW * 1000} / tonumber(ARGV[i])
  redis.call('SET', KEYS[i], string.format('%.3f', through), 'PX', math.ceil(through - now) + 1000)
  said[i] = math.max(0, math.ceil(through - now - {WINDOW * 1000}))
end
return table.concat(said, ';')
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """So much a minute for whatever the parts of `of` name together; only their hash is stored."""

    name: str
    of: str
    limit: int

    @property
    def key(self) -> str:
        return f"limit:{self.name}:{hash_of(self.of)}"


@dataclass(frozen=True, slots=True)
class Distinct:
    """So many different values for `of` in LIMIT_PHONES_WINDOW seconds; only hashes are stored."""

    name: str
    of: str
    limit: int
    value: str

    @property
    def key(self) -> str:
        return f"distinct:{self.name}:{hash_of(self.of)}"


@dataclass(frozen=True, slots=True)
class LayerStatus:
    """The state of a limit after a request. `reset`: seconds until `remaining` grows."""

    layer: Layer | Distinct
    allowed: bool
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may pass, each limit's status, and the seconds until a block ends."""

    statuses: tuple[LayerStatus, ...]
    blocked_for: int = 0
    # This process alone counted, because Redis was away.
    is_local: bool = False

    @property
    def allowed(self) -> bool:
        return not self.blocked_for and all(status.allowed for status in self.statuses)

    @property
    def retry_after(self) -> int:
        waits = [status.reset for status in self.statuses if not status.allowed]
        return max(1, self.blocked_for, *waits)

    @property
    def refused_by(self) -> list[str]:
        names = [status.layer.name for status in self.statuses if not status.allowed]
        return [*names, "route"] if self.blocked_for else names

    @property
    def refused_by_distinct(self) -> bool:
        refused = (status.layer for status in self.statuses if not status.allowed)
        return any(isinstance(layer, Distinct) for layer in refused)


@lru_cache(maxsize=8192)
def hash_of(value: str) -> str:
    """Return a short keyed hash, so that neither phones nor addresses lie in Redis."""
    key = settings.SECRET_KEY.encode()[:64]
    return blake2b(value.encode(), digest_size=12, key=key).hexdigest()


def acquire(
    layers: Sequence[Layer], blocks: Sequence[str] = (), distincts: Sequence[Distinct] = ()
) -> Decision:
    """Count one request in all limits, or in none when one of them or a block refuses it.

    One round trip, at most REDIS_TIMEOUT seconds.
    """
    limits = [layer.limit for layer in layers]
    values: list[int | str] = []
    for each in distincts:
        values += [each.limit, hash_of(each.value)]
    keys = [*(layer.key for layer in layers), *(each.key for each in distincts)]
    sizes = [len(layers), len(distincts), settings.LIMIT_PHONES_WINDOW]
    said = _ask(ACQUIRE, [*keys, *map(_block_key, blocks)], [*sizes, *limits, *values])
    if said is None:
        return acquire_here(layers, distincts)
    return _decision([*layers, *distincts], [_numbers(part) for part in said.split(";")])


def acquire_here(layers: Sequence[Layer], distincts: Sequence[Distinct] = ()) -> Decision:
    """Do the same in this process alone, without a round trip and without blocks."""
    return _decision([*layers, *distincts], local.acquire(layers, distincts), is_local=True)


def stand_in_line(lines: Sequence[Layer]) -> float:
    """Put a newcomer into lines and return the seconds until their turn: 0 while it is quiet.

    `limit` places a minute are free at once; then one is every 60/limit seconds.
    """
    keys, rates = [line.key + ":line" for line in lines], [line.limit for line in lines]
    said = _ask(STAND, keys, rates)
    waits = local.stand(keys, rates) if said is None else [int(wait) for wait in said.split(";")]
    for line, wait in zip(lines, waits, strict=True):
        if wait:
            hits.labels(line.name).inc()
    return max(waits) / 1000


def block_for(name: str, seconds: int) -> None:
    """Set a block: `acquire` refuses requests that name it for so many seconds."""
    _command("SET", _block_key(name), 1, "EX", max(1, seconds))


def use_once(name: str, seconds: int) -> bool:
    """Say whether this is the first use of the name in so many seconds. False without Redis."""
    return bool(_command("SET", f"once:{hash_of(name)}", 1, "NX", "EX", max(1, seconds)))


def _block_key(name: str) -> str:
    return f"block:{hash_of(name)}"


def _numbers(part: str) -> tuple[int, int]:
    remaining, _, milliseconds = part.partition(",")
    return int(remaining), int(milliseconds)


def _decision(
    layers: Sequence[Layer | Distinct],
    said: Sequence[tuple[int, int]],
    *,
    is_local: bool = False,
) -> Decision:
    statuses = tuple(
        LayerStatus(layer, remaining >= 0, max(0, remaining), ceil(wait / 1000))
        for layer, (remaining, wait) in zip(layers, said, strict=False)
    )
    blocked = max((wait for _, wait in said[len(layers) :]), default=0)
    return Decision(statuses, ceil(blocked / 1000), is_local)


# Redis -------------------------------------------------------------------------------------------


@cache
def _store() -> Redis:
    """Return this process' client: a pool of its own, short waits, no second try."""
    return Redis.from_url(
        settings.LIMITS_URL,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        socket_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def _store_answers() -> bool:
    try:
        return bool(_store().ping())
    except (RedisError, OSError):
        return False


# While it is open no request waits for Redis: it could be REDIS_TIMEOUT for each.
breaker = Breaker("limits", threshold=1, pause=STORE_PAUSE, probe=_store_answers)


@cache
def _script(text: str) -> str:
    """Return the name by which Redis knows a script once it has seen it."""
    return str(_store().script_load(text))


def _ask(script: str, keys: Sequence[str], arguments: Sequence[int | str]) -> str | None:
    """Run a script, and return what it says; None while Redis does not answer."""
    said = _command("EVALSHA", script, len(keys), *keys, *arguments)
    return None if said is None else str(said)


def _command(name: str, *arguments: object) -> object:
    if not breaker.allows():
        return None
    try:
        said = _send(name, *arguments)
    except (RedisError, OSError) as error:
        breaker.suspect()
        log.warning("limits_away", extra={"error": type(error).__name__})
        return None
    breaker.succeeded()
    return said


def _send(name: str, *arguments: object) -> object:
    store: Any = _store()
    if name != "EVALSHA":
        return store.execute_command(name, *arguments)
    script, *rest = arguments
    try:
        return store.execute_command(name, _script(str(script)), *rest)
    except RedisError as error:
        # A Redis that was started anew has forgotten the script.
        if "NOSCRIPT" not in f"{type(error).__name__} {error}".upper():
            raise
        return store.execute_command("EVAL", *arguments)


# Without Redis -----------------------------------------------------------------------------------


class LocalLimiter:
    """The same for one process: each lets the full limit pass, so that guests are not turned away
    because a store is down. At most LOCAL_KEYS keys of a few numbers are kept, and LOCAL_SETS sets
    of values."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slices: OrderedDict[str, dict[int, int]] = OrderedDict()
        self._through: OrderedDict[str, float] = OrderedDict()
        self._sets: OrderedDict[str, tuple[float, set[str]]] = OrderedDict()

    def acquire(
        self, layers: Sequence[Layer], distincts: Sequence[Distinct] = ()
    ) -> list[tuple[int, int]]:
        now = monotonic()
        current = int(now // SLICE)
        with self._lock:
            counts = [self._recent(layer.key, current) for layer in layers]
            sets = [self._values(each.key, now) for each in distincts]
            said = []
            for count, layer in zip(counts, layers, strict=True):
                oldest = min(count, default=current)
                wait = ceil(((oldest + SLICES + 1) * SLICE - now) * 1000)
                said.append((max(-1, layer.limit - sum(count.values()) - 1), wait))
            for (ends, values), each in zip(sets, distincts, strict=True):
                left = each.limit - len(values | {each.value})
                known = each.value in values
                said.append((max(0 if known else -1, left), ceil((ends - now) * 1000)))
            if all(remaining >= 0 for remaining, _ in said):
                for count in counts:
                    count[current] = count.get(current, 0) + 1
                for (_, values), each in zip(sets, distincts, strict=True):
                    values.add(each.value)
            return said

    def stand(self, keys: Sequence[str], rates: Sequence[int]) -> list[int]:
        now = monotonic()
        waits = []
        with self._lock:
            for key, rate in zip(keys, rates, strict=True):
                through = max(now, self._through.get(key, 0)) + WINDOW / rate
                self._through[key] = through
                self._through.move_to_end(key)
                waits.append(max(0, ceil((through - now - WINDOW) * 1000)))
            while len(self._through) > LOCAL_KEYS:
                self._through.popitem(last=False)
        return waits

    def _recent(self, key: str, current: int) -> dict[int, int]:
        count = self._slices.setdefault(key, {})
        for old in [each for each in count if each < current - SLICES]:
            del count[old]
        self._slices.move_to_end(key)
        while len(self._slices) > LOCAL_KEYS:
            self._slices.popitem(last=False)
        return count

    def _values(self, key: str, now: float) -> tuple[float, set[str]]:
        found = self._sets.get(key)
        if found is None or found[0] <= now:
            found = self._sets[key] = (now + settings.LIMIT_PHONES_WINDOW, set())
        self._sets.move_to_end(key)
        while len(self._sets) > LOCAL_SETS:
            self._sets.popitem(last=False)
        return found

    def clear(self) -> None:
        with self._lock:
            self._slices.clear()
            self._through.clear()
            self._sets.clear()

    def __len__(self) -> int:
        return len(self._slices)


local = LocalLimiter()
