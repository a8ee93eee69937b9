"""Servers that the tests started, which tests may stop. Servers from outside are left alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from redis import Redis

from snap.local.embedded import PostgreSQL, Valkey
from tests.helpers import servers

REASON = "only a server that the tests started may be stopped"

needs_own_postgresql = pytest.mark.skipif(servers.postgresql is None, reason=REASON)
needs_own_valkey = pytest.mark.skipif(servers.valkey is None, reason=REASON)


def own_postgresql() -> PostgreSQL:
    """Return PostgreSQL, or skip the test when DATABASE_URL names another one."""
    if servers.postgresql is None:
        pytest.skip(REASON)
    return servers.postgresql


def own_valkey() -> Valkey:
    """Return Valkey, or skip the test when REDIS_URL names another one."""
    if servers.valkey is None:
        pytest.skip(REASON)
    return servers.valkey


@contextmanager
def valkey_without_writes() -> Iterator[None]:
    """Let Valkey refuse all writes during a block, as a replica or with a full disk does."""
    own_valkey()
    with Redis.from_url(settings.BROKER_URL) as redis:
        redis.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            redis.replicaof("NO", "ONE")
