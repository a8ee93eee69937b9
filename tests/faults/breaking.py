"""Ways to break servers and processes: kill, freeze, and hold commits."""

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
    """Return the processes of a server, the leader first."""
    leader = psutil.Process(server.pid)
    return [leader, *leader.children(recursive=True)]


@contextmanager
def frozen(server: PostgreSQL | Valkey) -> Iterator[None]:
    """Freeze all processes of a server (SIGSTOP): connections stay open without responses."""
    stopped = processes_of(server)
    for process in stopped:
        # Helper processes of PostgreSQL start and end by themselves.
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
    """Make every COMMIT wait after it is durable and before its response.

    PostgreSQL waits for a standby that does not exist. A client that is killed in the block dies
    between its commit and the response. The commits return at the end of the block.
    """
    _set(postgresql, "synchronous_standby_names", "nobody")
    try:
        yield
    finally:
        _set(postgresql, "synchronous_standby_names", "")


def waiting_commits(postgresql: PostgreSQL, application: str = "") -> list[int]:
    """Return the process ids of backends with a held COMMIT, of all applications or one."""
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
        # Only a new connection reliably shows the settings that the postmaster has read.
        with _administrator(postgresql) as administrator:
            row = administrator.execute("SELECT current_setting(%s)", [name]).fetchone()
        return row is not None and str(row[0]) == value

    wait_for(is_set)


def children_of(stack: Stack, name: str) -> list[psutil.Process]:
    """Return all descendants of a process of the Procfile."""
    return list(psutil.Process(stack.pid(name)).children(recursive=True))


def kill_one_child(stack: Stack, name: str) -> None:
    """Kill the child with the most memory, as the kernel does when memory runs out."""
    with suppress(psutil.NoSuchProcess):
        children = sorted(children_of(stack, name), key=lambda child: child.memory_info().rss)
        if children:
            children[-1].kill()


def pause(seconds: float) -> None:
    """Wait while the storm goes on."""
    time.sleep(seconds)


@contextmanager
def changed(stack: Stack, *names: str, **env: str) -> Iterator[None]:
    """Run processes with other environment variables during a block."""
    stack.restart(*names, **env)
    try:
        yield
    finally:
        stack.restart(*names)
