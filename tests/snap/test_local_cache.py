"""The cache in the memory of a process."""

from snap.local_cache import LocalCache, reset_process_state


def test_a_value_is_kept_for_its_seconds() -> None:
    seconds = 60.0
    cache: LocalCache[str, int] = LocalCache(size=2, seconds=lambda: seconds)
    cache.set("a", 1)
    assert cache.get("a") == 1
    seconds = -1.0
    cache.set("a", 2)
    assert cache.get("a") is None


def test_the_value_that_was_not_read_for_the_longest_time_goes_first() -> None:
    cache: LocalCache[str, int] = LocalCache(size=2, seconds=lambda: 60)
    cache.set("a", 1)
    cache.set("b", 2)
    cache.get("a")
    cache.set("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_adding_says_whether_there_was_no_value() -> None:
    cache: LocalCache[str, int] = LocalCache(size=2, seconds=lambda: 60)
    assert cache.add("a", 1)
    assert not cache.add("a", 2)
    assert cache.get("a") == 1


def test_one_call_empties_all_local_caches() -> None:
    caches: list[LocalCache[str, int]] = [
        LocalCache(size=2, seconds=lambda: 60),
        LocalCache(size=2, seconds=lambda: 60),
    ]
    for cache in caches:
        cache.set("a", 1)
    reset_process_state()
    assert [cache.get("a") for cache in caches] == [None, None]
