"""What is asked of Redis as a cache is counted, and that Redis does not answer."""

from django.core.cache import cache
from prometheus_client import REGISTRY

from tests.helpers.own_servers import own_valkey

COUNTERS = ("total", "hits_total", "misses_total", "fail_total")


def counts() -> list[float]:
    values = []
    for counter in COUNTERS:
        value = REGISTRY.get_sample_value(f"django_cache_get_{counter}", {"backend": "redis"})
        values.append(value or 0.0)
    return values


def new_counts(before: list[float]) -> list[float]:
    return [now - then for now, then in zip(counts(), before, strict=True)]


def test_hits_and_misses_are_counted() -> None:
    before = counts()
    cache.get("nothing")
    cache.set("something", 1)
    cache.get("something")
    assert new_counts(before) == [2, 1, 1, 0]


def test_a_cache_that_is_away_is_counted_and_does_not_fail() -> None:
    before = counts()
    own_valkey().stop()
    assert cache.get("something", "default") == "default"
    assert new_counts(before) == [1, 0, 0, 1]
