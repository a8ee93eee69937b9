"""A cache in the memory of one process, limited in size and age, and the reset of all such state.

The cache is for values that many requests read and that may be a moment old. Values that all
processes share are in Django's cache.
"""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from cachetools import TLRUCache

Key = TypeVar("Key")
Value = TypeVar("Value")

_resets: list[Callable[[], None]] = []


def on_reset(reset: Callable[[], None]) -> None:
    """Register a function that `reset_process_state` calls.

    All state of a process that depends on settings, data or servers is registered; caches of pure
    functions are not.
    """
    _resets.append(reset)


def reset_process_state() -> None:
    """Bring this process back to its state after the start: empty caches, closed breakers."""
    for reset in _resets:
        reset()


class LocalCache(Generic[Key, Value]):
    """Keeps at most `size` values, each for `seconds()` after it was set. Safe between threads.

    A full cache removes the value that was not read for the longest time. `seconds` is a function
    because settings change in tests.
    """

    def __init__(self, *, size: int, seconds: Callable[[], float]) -> None:
        self._values: TLRUCache[Key, Value] = TLRUCache(
            size, ttu=lambda _key, _value, now: now + seconds(), timer=monotonic
        )
        self._lock = Lock()
        on_reset(self.clear)

    def get(self, key: Key) -> Value | None:
        """Return the value, or None if there is none or it has expired."""
        with self._lock:
            return self._values.get(key)

    def set(self, key: Key, value: Value) -> None:
        with self._lock:
            self._values[key] = value

    def add(self, key: Key, value: Value) -> bool:
        """Set the value if the key has none. Return whether it was set."""
        with self._lock:
            if key in self._values:
                return False
            self._values[key] = value
            return True

    def values(self) -> list[Value]:
        """Return the values that have not expired."""
        with self._lock:
            return list(self._values.values())

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
