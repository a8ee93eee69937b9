"""A cache in the memory of one process, limited in size and age.

It is for values that many requests read and that may be a moment old. Values that all processes
share are in Django's cache.
"""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from cachetools import TLRUCache

Key = TypeVar("Key")
Value = TypeVar("Value")

_caches: list["LocalCache[object, object]"] = []


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
        _caches.append(self)  # type: ignore[arg-type]

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

    def clear(self) -> None:
        with self._lock:
            self._values.clear()


def clear_local_caches() -> None:
    """Empty every local cache of this process."""
    for cache in _caches:
        cache.clear()
