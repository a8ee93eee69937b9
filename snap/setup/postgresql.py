"""Checks of PostgreSQL: that it keeps what it commits, and has connections for all processes."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from snap.models import HostReading
from snap.resilience.connections import connection_problem
from snap.setup import SERVERS

NO_DATABASE = "snap.E121"
UNMIGRATED = "snap.E129"
OLDEST = 14  # the oldest version that Django 5.2 supports
# Parameters that must be on, and what is lost without them.
SAFE = {
    "fsync": "a crash of the machine loses requests that were accepted, or the whole database",
    "full_page_writes": "a crash of the machine can damage the database",
    "synchronous_commit": "a crash of the server loses requests that were accepted",
}
# What SNAP asks of each of its connections, so that nothing hangs. PgBouncer leaves that out.
TIME_LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
# Connections that a process has beside those of its pool: of its snapshot, and of a probe.
OUTSIDE_POOL = 2
# A process of `worker` has one task at a time.
WORKER_POOL = 1
# Processes of each host beside those of `web` and `worker`: ws, emails, sweeper.
OTHER_PROCESSES = 3
# Seconds by which the clocks of this host and of the database may differ.
CLOCK_SECONDS = 1.0
# Seconds after which a host that has not reported counts as gone.
HOST_SECONDS = 300
LOCAL = ("", "localhost", "127.0.0.1", "::1")


@register(SERVERS, deploy=True)
def check_postgresql(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report what is unsafe about PostgreSQL. If it does not respond, report that alone."""
    if not databases:
        return []
    if problem := connection_problem():
        return [
            Error(
                f"PostgreSQL does not respond: {problem}",
                hint="Start it, or correct DATABASE_URL. Then check again.",
                id=NO_DATABASE,
            )
        ]
    parameters = read_parameters()
    with connection.cursor():
        link = connection.connection
    return [
        *check_version(parameters),
        *check_durability(parameters),
        *check_time_limits(parameters),
        *check_connections(parameters),
        *check_archive(parameters),
        *check_role(parameters),
        *check_encryption(link.info.host, is_encrypted=link.pgconn.ssl_in_use),
        *check_clock(datetime.now(UTC)),
        *check_migrations(),
    ]


def read_parameters() -> dict[str, str]:
    names = [
        *SAFE,
        *TIME_LIMITS,
        "server_version_num",
        "server_version",
        "max_connections",
        "archive_mode",
    ]
    names += ["superuser_reserved_connections", "is_superuser"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [names]
        )
        return dict(cursor.fetchall())


def check_version(parameters: dict[str, str]) -> list[CheckMessage]:
    if int(parameters["server_version_num"]) >= OLDEST * 10_000:
        return []
    return [
        Error(
            f"PostgreSQL is version {parameters['server_version']}; SNAP needs {OLDEST}.",
            hint="Upgrade PostgreSQL.",
            id="snap.E122",
        )
    ]


def check_durability(parameters: dict[str, str]) -> list[CheckMessage]:
    """Report parameters with which a commit is not a promise."""
    found: list[CheckMessage] = []
    for name, loss in SAFE.items():
        if parameters[name] == "off":
            found.append(
                Error(
                    f"PostgreSQL has {name} = off: {loss}.",
                    hint=f"Set {name} = on in postgresql.conf, and reload PostgreSQL.",
                    id="snap.E123",
                )
            )
    return found


def check_time_limits(parameters: dict[str, str]) -> list[CheckMessage]:
    """Warn if PostgreSQL lets a statement, a wait for a lock or a transaction hang."""
    missing = [name for name in TIME_LIMITS if parameters[name] == "0"]
    if not missing:
        return []
    return [
        Warning(
            f"Connections of SNAP have no {', '.join(missing)}: a statement that hangs holds its"
            " locks.",
            hint="PgBouncer leaves them out. Set them for the role of SNAP, as docs/operations.md"
            " says under PgBouncer.",
            id="snap.W120",
        )
    ]


def check_connections(parameters: dict[str, str]) -> list[CheckMessage]:
    """Warn if the processes of all hosts may open more connections than PostgreSQL has."""
    hosts = _count_hosts()
    wanted = hosts * connections_of_a_host()
    free = int(parameters["max_connections"]) - int(parameters["superuser_reserved_connections"])
    if wanted <= free:
        return []
    return [
        Warning(
            f"The processes of {hosts} host(s) may open {wanted} connections; PostgreSQL has"
            f" {free}. Beyond them requests are only queued.",
            hint="Raise max_connections, lower DATABASE_POOL_SIZE, or put PgBouncer between.",
            id="snap.W124",
        )
    ]


def connections_of_a_host() -> int:
    """Return how many connections the processes of one host open at most."""
    pool: int = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    web = int(os.environ.get("WEB_WORKERS") or 2)
    workers = int(os.environ.get("WORKER_CONCURRENCY") or 10)
    with_threads = (pool + OUTSIDE_POOL) * (web + OTHER_PROCESSES)
    return with_threads + (WORKER_POOL + OUTSIDE_POOL) * workers


def _count_hosts() -> int:
    """Return how many hosts have reported in the last minutes, at least this one."""
    with connection.cursor() as cursor:
        if HostReading._meta.db_table not in connection.introspection.table_names(cursor):
            return 1  # The migrations are missing, which another check reports.
        cursor.execute(
            "SELECT count(*) FROM snap_hostreading WHERE read_at > now() - %s * interval '1 s'",
            [HOST_SECONDS],
        )
        (hosts,) = cursor.fetchone()
    return max(1, int(hosts))


def check_archive(parameters: dict[str, str]) -> list[CheckMessage]:
    if parameters["archive_mode"] != "off":
        return []
    return [
        Info(
            "PostgreSQL archives no write-ahead log: after a loss of its disk the last backup is"
            " all there is.",
            hint="Set archive_mode = on with pg_basebackup, or use a replica.",
            id="snap.I125",
        )
    ]


def check_role(parameters: dict[str, str]) -> list[CheckMessage]:
    if parameters["is_superuser"] != "on":
        return []
    return [
        Warning(
            "SNAP connects to PostgreSQL as a superuser, who may change the history and the"
            " server itself.",
            hint="Give SNAP a role of its own that owns its database, and nothing else.",
            id="snap.W126",
        )
    ]


def check_encryption(host: str, *, is_encrypted: bool) -> list[CheckMessage]:
    """Warn of a connection over the network without TLS."""
    if is_encrypted or host in LOCAL or host.startswith("/"):
        return []
    return [
        Warning(
            f"The connection to PostgreSQL at {host} is not encrypted.",
            hint="Add ?sslmode=verify-full&sslrootcert=system to DATABASE_URL.",
            id="snap.W127",
        )
    ]


def check_clock(now: datetime) -> list[CheckMessage]:
    """Warn if this host and the database disagree about the time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (theirs,) = cursor.fetchone()
    difference = abs((now - theirs).total_seconds())
    if difference <= CLOCK_SECONDS:
        return []
    return [
        Warning(
            f"The clocks of this host and of PostgreSQL differ by {difference:.0f} s: lists open"
            " too early or too late, and codes expire at the wrong time.",
            hint="Let chrony or systemd-timesyncd set the clocks of both machines.",
            id="snap.W128",
        )
    ]


def check_migrations() -> list[CheckMessage]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return []
    first, _ = plan[0]
    return [
        Error(
            f"The database lacks {len(plan)} migration(s), the first of them {first}.",
            hint="Run `manage.py migrate`. Then check again: staff and events were left out.",
            id=UNMIGRATED,
        )
    ]
