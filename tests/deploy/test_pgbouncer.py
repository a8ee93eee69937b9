"""SNAP through a real PgBouncer in transaction mode, set up by the file of `deploy/`."""

import configparser
import getpass
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from django.db.models.functions import Now

from guests.models import GuestRequest
from snap.local.embedded import free_port
from snap.local.processes import BASE_DIR, Process
from tests.factories import make_event, make_request
from tests.helpers.programs import program_environment
from tests.helpers.stack import database_url, wait_for
from tests.helpers.watching import DEPLOY, program

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ONCE = [sys.executable, "manage.py", "sweeper", "--once"]


@pytest.fixture
def through_pgbouncer(tmp_path: Path) -> Iterator[str]:
    """Return the address of the test database at a PgBouncer, which asks for no password."""
    server = urlsplit(database_url())
    name, port = server.path.strip("/"), free_port()
    config = configparser.ConfigParser()
    config.read(DEPLOY / "pgbouncer" / "pgbouncer.ini")
    config["databases"] = {
        name: f"host={server.hostname} port={server.port} user={server.username}"
        f" password={server.password} dbname={name}"
    }
    own = {"listen_port": str(port), "auth_type": "any", "unix_socket_dir": ""}
    config["pgbouncer"].update(own)
    del config["pgbouncer"]["auth_file"]
    path = tmp_path / "pgbouncer.ini"
    with path.open("w") as file:
        config.write(file)
    command = f"{program('pgbouncer')} {path}"
    if getpass.getuser() == "root":
        command = f"{program('pgbouncer')} -u nobody {path}"
    process = Process("pgbouncer", command, program_environment())
    with (tmp_path / "log").open("wb") as log:
        process.start(log)
    url = f"postgres://{server.username}@127.0.0.1:{port}/{name}?sslmode=disable"
    try:
        wait_for(lambda: limits_at(url))
        yield url
    finally:
        process.kill()


def limits_at(url: str) -> str:
    """Return the time limit of statements there; "" while PgBouncer does not respond."""
    try:
        with psycopg.connect(url, prepare_threshold=None) as connected:
            (limit,) = connected.execute("SHOW statement_timeout").fetchone() or [""]
    except psycopg.OperationalError:
        return ""
    return str(limit)


def test_a_request_ends_through_it(through_pgbouncer: str) -> None:
    request = make_request(make_event())
    rows = GuestRequest.objects.filter(pk=request.pk)
    rows.update(next_attempt_at=Now() - timedelta(hours=1))
    env = program_environment(DATABASE_URL=through_pgbouncer)
    ended = subprocess.run(ONCE, cwd=BASE_DIR, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "sweep_failed" not in ended.stderr
    assert rows.get().state == GuestRequest.State.CREATED


def test_it_passes_on_no_time_limits_so_the_role_has_them(through_pgbouncer: str) -> None:
    """`options` asks for a limit, as SNAP does, and the role's limit counts instead."""
    asking = f"{through_pgbouncer}&options=-c%20statement_timeout%3D1000"
    assert limits_at(asking) == "0"
    role, database = connection.settings_dict["USER"], connection.settings_dict["NAME"]
    of_role = f'ALTER ROLE "{role}" IN DATABASE "{database}"'
    with connection.cursor() as cursor:
        cursor.execute(f"{of_role} SET statement_timeout = '5s'")
        try:
            # New connections to PostgreSQL have it.
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert wait_for(lambda: limits_at(asking)) == "5s"
        finally:
            cursor.execute(f"{of_role} RESET statement_timeout")
