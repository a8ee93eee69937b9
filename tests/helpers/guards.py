"""Races, with and without the guard against them.

A race test runs the same work twice: without the guard, where it must fail, and with it.
No code is patched. Statements lose a clause on their way to PostgreSQL, a constraint is dropped
for a while, or a trigger makes a statement take longer.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, TypeVar

from django.db import connection

T = TypeVar("T")

# The connections of the pool, without the test's own.
THREADS = 6

LOCK = re.compile(r" FOR (NO KEY )?UPDATE( SKIP LOCKED)?")
UPSERT = re.compile(r"ON CONFLICT.*?(?=RETURNING|$)", re.DOTALL)


def at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Run functions concurrently, each in a thread with a connection of its own.

    Return their results in order. Raise the error of the first function that failed.
    """
    start = Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        start.wait(timeout=10)
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


def without_locks(work: Callable[[], T], table: str = "") -> Callable[[], T]:
    """Return a function that does the work without row locks, of one table or of all."""
    return _rewriting(work, LOCK, table)


def without_advisory_locks(work: Callable[[], T]) -> Callable[[], T]:
    """Return a function that does the work without advisory locks."""
    return _rewriting(work, re.compile(r"pg_(try_)?advisory_xact_lock"), "")


def without_upserts(work: Callable[[], T]) -> Callable[[], T]:
    """Return a function that does the work with plain INSERTs instead of ON CONFLICT."""
    return _rewriting(work, UPSERT, "")


def _rewriting(work: Callable[[], T], clause: re.Pattern[str], table: str) -> Callable[[], T]:
    def rewrite(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not table or f'FROM "{table}"' in sql:
            sql = clause.sub("", sql)
        return execute(sql, params, many, context)

    def rewritten() -> T:
        with connection.execute_wrapper(rewrite):
            return work()

    return rewritten


@contextmanager
def without_constraint(table: str, name: str) -> Iterator[None]:
    """Drop a constraint or unique index. Afterwards truncate the table and create it again."""
    made = _definition(table, name)
    dropped = f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    if made.startswith("CREATE"):
        dropped = f"DROP INDEX {name}"
    _execute(dropped)
    try:
        yield
    finally:
        _execute(f"TRUNCATE {table} CASCADE")
        _execute(made)


def _definition(table: str, name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname=%s", [name]
        )
        if row := cursor.fetchone():
            return f"ALTER TABLE {table} ADD CONSTRAINT {name} {row[0]}"
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [name])
        (definition,) = cursor.fetchone()
        return str(definition)


@contextmanager
def slow(table: str, event: str, *, seconds: float = 0.2) -> Iterator[None]:
    """Slow down every INSERT or UPDATE on a table, which widens the window of a race."""
    with trigger(table, event, f"PERFORM pg_sleep({seconds}); RETURN NULL;", each="STATEMENT"):
        yield


@contextmanager
def trigger(table: str, event: str, body: str, *, each: str = "ROW") -> Iterator[None]:
    """Run a trigger before every INSERT or UPDATE on a table."""
    _execute(
        f"CREATE FUNCTION tests_trigger() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {body} END $$"
    )
    _execute(
        f"CREATE TRIGGER tests_trigger BEFORE {event} ON {table}"
        f" FOR EACH {each} EXECUTE FUNCTION tests_trigger()"
    )
    try:
        yield
    finally:
        _execute("DROP FUNCTION tests_trigger() CASCADE")


@contextmanager
def held_up(table: str) -> Iterator[Callable[[], None]]:
    """Hold up each INSERT into a table by others, until the yielded function is called."""
    is_held = True

    def release() -> None:
        nonlocal is_held
        if is_held:
            _execute("SELECT pg_advisory_unlock(77)")
        is_held = False

    body = (
        "PERFORM set_config('lock_timeout', '0', true);"
        " PERFORM pg_advisory_xact_lock_shared(77); RETURN NULL;"
    )
    with trigger(table, "INSERT", body, each="STATEMENT"):
        _execute("SELECT pg_advisory_lock(77)")
        try:
            yield release
        finally:
            release()


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
