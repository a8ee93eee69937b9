"""Private parts of psycopg and psycopg_pool (see tests/snap/test_private_parts.py)."""

import time
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import errors
from psycopg_pool import ConnectionPool

from tests.helpers.private_parts import changed, require

CONNECTIONS = "snap/resilience/connections.py"


class ShortWaits(psycopg.Connection[Any]):
    """Ends each wait after 0.2 s, and records what `wait` and `execute` are called with."""

    limit: float | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = 0
        self.queries: list[Any] = []

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        self.waits += 1
        return super().wait(gen, interval, self.limit or timeout)

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        self.queries.append(query)
        return super().execute(query, *args, **options)


def connect() -> ShortWaits:
    parameters = connection.get_connection_params()
    return ShortWaits.connect(**parameters, autocommit=True)


def test_psycopg_waits_for_each_answer_in_wait_and_raises_wait_timeout() -> None:
    require(errors, {"_WaitTimeout"}, "psycopg", CONNECTIONS)
    own = connect()
    before = own.waits
    own.limit = 0.2
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError) as raised:
        own.execute("SELECT pg_sleep(3)")
    took = time.monotonic() - began
    own.close()
    assert own.waits > before, changed(
        "psycopg", CONNECTIONS, "Connection.wait, which waits for each answer"
    )
    assert isinstance(raised.value, errors._WaitTimeout), changed(
        "psycopg", CONNECTIONS, "errors._WaitTimeout, which Connection.wait raises at its timeout"
    )
    assert took < 2, changed("psycopg", CONNECTIONS, "the third argument of Connection.wait")


def test_a_wait_of_psycopg_can_be_resumed_with_a_second_one() -> None:
    from psycopg.waiting import READY_NONE

    from snap.resilience.connections import resume

    class Resuming(psycopg.Connection[Any]):
        timeouts = 0

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, 0.2)
            except errors._WaitTimeout:
                self.timeouts += 1
                return super().wait(resume(gen), interval, 5)

    sentence = changed(
        "psycopg", CONNECTIONS, "the generators of Connection.wait, which accept READY_NONE"
    )
    assert READY_NONE == 0, sentence
    parameters = connection.get_connection_params()
    with Resuming.connect(**parameters, autocommit=True) as own:
        # The statement is longer than a socket's buffer, so that sending it is also resumed.
        text = "x" * 3_000_000
        row = own.execute("SELECT pg_sleep(0.5), length(%s)", [text]).fetchone()
    assert row is not None, sentence
    assert row[1] == len(text), sentence
    assert own.timeouts, sentence


def test_a_connection_of_psycopg_knows_its_pool_and_is_checked_with_an_empty_query() -> None:
    parameters = connection.get_connection_params()
    pool = ConnectionPool(
        kwargs={**parameters, "autocommit": True},
        connection_class=ShortWaits,
        min_size=0,
        max_size=1,
        open=True,
        check=ConnectionPool.check_connection,
    )
    with pool, pool.connection() as own:
        require(own, {"_pool"}, "psycopg-pool", CONNECTIONS)
        assert own._pool is pool, changed(
            "psycopg-pool", CONNECTIONS, "Connection._pool, the pool of a connection"
        )
        assert "" in own.queries, changed(
            "psycopg-pool", CONNECTIONS, 'the health check of a pool, which executes ""'
        )
