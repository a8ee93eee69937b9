"""Checks whether a phone has an account, before every sign-in. The result is cached if it has one.

A phone without an account is looked up each time (one index read): otherwise a check that runs
during a registration could cache that there is no account.
"""

from time import monotonic
from typing import NamedTuple

from django.core.cache import cache
from prometheus_client import Counter, Histogram

from accounts.models import User
from accounts.suspicious import hash_personal
from snap.observability.cache_metrics import CacheCounter
from snap.observability.steps import PHONE, count_step

CACHE_SECONDS = 300

cache_hits = Counter("phone_check_cache_hits", "Phone checks answered from the cache")
cache_misses = Counter("phone_check_cache_misses", "Phone checks answered from the database")
in_cache = CacheCounter("phone_check")
duration = Histogram(
    "phone_verification_duration_ms",
    "Milliseconds that a phone check takes",
    buckets=(1, 2, 5, 10, 20, 50, 100, 250, 500, 1000, 3000),
)


class PhoneCheck(NamedTuple):
    exists: bool
    source: str  # "cache" or "database"


def check_phone(phone: str) -> PhoneCheck:
    """Return whether a phone (E.164) has an account. One query if it is not cached."""
    began = monotonic()
    check = _check(phone)
    duration.observe((monotonic() - began) * 1000)
    count_step(PHONE)
    return check


def forget_phone(phone: str) -> None:
    """Delete the cached result for a phone that an account had. Call it after the commit."""
    cache.delete(_key(phone))


def _check(phone: str) -> PhoneCheck:
    if cache.get(_key(phone)) == 1:
        cache_hits.inc()
        in_cache.hit()
        return PhoneCheck(exists=True, source="cache")
    cache_misses.inc()
    in_cache.miss()
    exists = User.objects.filter(phone=phone).exists()
    if exists:
        cache.set(_key(phone), 1, CACHE_SECONDS)
    return PhoneCheck(exists, "database")


def _key(phone: str) -> str:
    return f"phone-check:{hash_personal(phone)}"
