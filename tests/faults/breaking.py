"""How things are broken here: for real, and at the instruction where it hurts most."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg
from django.db import connection

from snap.local.embedded import PostgreSQL, Valkey
from tests.helpers.stack import Stack, wait_for


def processes_of(server: PostgreSQL | Valkey) -> list[psutil.Process]:
    """Return a server's processes, the one that starts the others first."""
    leader = psutil.Process(server.pid)
    return [leader, *leader.children(recursive=True)]


@contextmanager
def frozen(server: PostgreSQL | Valkey) -> Iterator[None]:
    """Stop all of a server's processes (SIGSTOP): connections stay open, and nothing answers."""
    stopped = processes_of(server)
    for process in stopped:
        # PostgreSQL's own helpers come and go.
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(stopped):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@contextmanager
def commits_held(postgresql: PostgreSQL) -> Iterator[None]:
    """Have every COMMIT wait after it is durable and before anybody is told.

    PostgreSQL is told to wait for a standby that does not exist. Whoever is killed meanwhile dies
    between the commit and its answer; at the end of the block the commits come through.
    """
    _set(postgresql, "synchronous_standby_names", "nobody")
    try:
        yield
    finally:
        _set(postgresql, "synchronous_standby_names", "")


def waiting_commits(postgresql: PostgreSQL, application: str = "") -> list[int]:
    """Return the backends whose COMMIT is held, of one application if it is named."""
    with _administrator(postgresql) as administrator:
        rows = administrator.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'SyncRep'"
            " AND application_name LIKE %s",
            [connection.settings_dict["NAME"], f"%{application}%"],
        ).fetchall()
    return [row[0] for row in rows]


def terminate(postgresql: PostgreSQL, backends: list[int]) -> None:
    with _administrator(postgresql) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [backends]
        )


def _administrator(postgresql: PostgreSQL) -> "psycopg.Connection[tuple[int]]":
    return psycopg.connect(postgresql.url, autocommit=True, connect_timeout=2)


def _set(postgresql: PostgreSQL, name: str, value: str) -> None:
    with _administrator(postgresql) as administrator:
        administrator.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        administrator.execute("SELECT pg_reload_conf()")

    def is_set() -> bool:
        # Only a new connection is sure to show what the postmaster has read.
        with _administrator(postgresql) as administrator:
            row = administrator.execute("SELECT current_setting(%s)", [name]).fetchone()
        return row is not None and str(row[0]) == value

    wait_for(is_set)


def children_of(stack: Stack, name: str) -> list[psutil.Process]:
    """Return the processes that a process of the Procfile has started, directly or not."""
    return list(psutil.Process(stack.pid(name)).children(recursive=True))


def kill_one_child(stack: Stack, name: str) -> None:
    """Kill the biggest child, as the kernel does when memory runs out."""
    children = children_of(stack, name)
    with suppress(psutil.NoSuchProcess):
        for child in sorted(children, key=lambda child: child.memory_info().rss)[-1:]:
            child.kill()


def pause(seconds: float) -> None:
    """Let the storm go on for a while."""
    time.sleep(seconds)


@contextmanager
def changed(stack: Stack, *names: str, **env: str) -> Iterator[None]:
    """Run some of the processes with other variables for the length of a block."""
    stack.restart(*names, **env)
    try:
        yield
    finally:
        stack.restart(*names)
