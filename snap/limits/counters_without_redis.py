"""Rate limits that one process counts by itself while Redis is away."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from math import ceil
from time import monotonic
from typing import Any

from django.conf import settings

from snap.limits.layers import WINDOW, DistinctLimit, Layer

SLICE = 5  # seconds
SLICES = WINDOW // SLICE
# The tables have a maximum size. The entry that was not used for the longest time is removed first.
MAX_KEYS = 10_000
MAX_SETS = 2_000


class LocalCounters:
    """The limits of `snap.limits.counters` in the memory of one process. Safe between threads.

    Each process lets the full limit pass: an outage of Redis turns no guest away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Requests by slice, for each layer's key.
        self._counts: OrderedDict[str, dict[int, int]] = OrderedDict()
        # The time at which all members of a line have had their turn.
        self._lines: OrderedDict[str, float] = OrderedDict()
        # The end of the window and the values in it, for each distinct limit's key.
        self._values: OrderedDict[str, tuple[float, set[str]]] = OrderedDict()

    def acquire(
        self, layers: Sequence[Layer], distinct_limits: Sequence[DistinctLimit] = ()
    ) -> list[tuple[int, int]]:
        """Count one request in all limits, or in none if one refuses.

        Return (remaining, milliseconds until that grows) for each limit; -1 remaining: it refuses.
        """
        now = monotonic()
        current = int(now // SLICE)
        replies: list[tuple[int, int]] = []
        counts = []
        sets = []
        with self._lock:
            for layer in layers:
                count = self._recent_counts(layer.key, current)
                oldest = min(count, default=current)
                wait = ceil(((oldest + SLICES + 1) * SLICE - now) * 1000)
                remaining = layer.limit - sum(count.values()) - 1
                replies.append((max(-1, remaining), wait))
                counts.append(count)
            for limit in distinct_limits:
                ends, values = self._current_values(limit.key, now)
                remaining = limit.limit - len(values | {limit.value})
                least = 0 if limit.value in values else -1
                replies.append((max(least, remaining), ceil((ends - now) * 1000)))
                sets.append((values, limit.value))
            if any(remaining < 0 for remaining, _ in replies):
                return replies
            for count in counts:
                count[current] = count.get(current, 0) + 1
            for values, value in sets:
                values.add(value)
        return replies

    def reserve_turns(self, keys: Sequence[str], rates: Sequence[int]) -> list[int]:
        """Return the milliseconds until a newcomer's turn in each line; `rates` are a minute's."""
        now = monotonic()
        waits = []
        with self._lock:
            for key, rate in zip(keys, rates, strict=True):
                free_at = max(now, self._lines.get(key, 0)) + WINDOW / rate
                self._lines[key] = free_at
                self._lines.move_to_end(key)
                waits.append(max(0, ceil((free_at - now - WINDOW) * 1000)))
            _shrink(self._lines, MAX_KEYS)
        return waits

    def _recent_counts(self, key: str, current: int) -> dict[int, int]:
        """Return the counts by slice of the last minute. Caller holds the lock."""
        count = self._counts.setdefault(key, {})
        for old in list(count):
            if old < current - SLICES:
                del count[old]
        self._counts.move_to_end(key)
        _shrink(self._counts, MAX_KEYS)
        return count

    def _current_values(self, key: str, now: float) -> tuple[float, set[str]]:
        """Return the end of the current window and the values in it. Caller holds the lock."""
        found = self._values.get(key)
        if found is None or found[0] <= now:
            found = (now + settings.LIMIT_PHONES_WINDOW, set())
            self._values[key] = found
        self._values.move_to_end(key)
        _shrink(self._values, MAX_SETS)
        return found

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()
            self._lines.clear()
            self._values.clear()

    def __len__(self) -> int:
        return len(self._counts)


def _shrink(table: OrderedDict[str, Any], size: int) -> None:
    while len(table) > size:
        table.popitem(last=False)
