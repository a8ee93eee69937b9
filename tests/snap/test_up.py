import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import httpx
import psutil
import psycopg
import pytest

from snap import embedded
from snap.embedded import free_port
from snap.management.commands import up
from snap.processes import BASE_DIR
from tests.helpers import servers
from tests.helpers.stack import answers, http, wait_for

NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "var", ".*_cache", "docs")
GIVEN_BY_TESTS = (
    "DATABASE_URL",
    "REDIS_URL",
    "PYTEST_VERSION",
    "DJANGO_SETTINGS_MODULE",
    "MEDIA_ROOT",
    "INBOX_DIR",
    "STATIC_ROOT",
    *servers.ENVIRONMENT,
)

# Seconds for what takes some, on a machine that is busy.
PATIENCE = 90


class Run:
    """A `manage.py up` in a copy of the checkout, leader of a process group like a shell's job."""

    started: ClassVar[list["Run"]] = []

    def __init__(self, checkout: Path, **variables: str) -> None:
        self.web_port = free_port()
        self.url = f"http://localhost:{self.web_port}"
        env = {name: value for name, value in os.environ.items() if name not in GIVEN_BY_TESTS}
        env |= {
            "WEB_HOST": "127.0.0.1",
            "WEB_PORT": str(self.web_port),
            "WS_PORT": str(free_port()),
            "WEB_WORKERS": "1",
            "WORKER_CONCURRENCY": "2",
            "EMAILS_CONCURRENCY": "1",
            **variables,
        }
        self.log = checkout / f"up-{self.web_port}.log"
        with self.log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=checkout,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Whoever started the tests may ignore it, and children inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

        self.started.append(self)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        wait_for(lambda: "SNAP is running" in self.text() or self.popen.poll() is not None, 90)
        assert self.popen.poll() is None, self.text()

    def family(self) -> list[psutil.Process]:
        return list(psutil.Process(self.popen.pid).children(recursive=True))

    def commands(self) -> list[str]:
        assert self.popen.poll() is None, self.text()
        commands = []
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                commands.append(" ".join(process.cmdline()))
        return commands

    def child(self, words: str) -> psutil.Process:
        return next(
            process
            for process in psutil.Process(self.popen.pid).children()
            if words in " ".join(process.cmdline())
        )


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def none_is_left(family: list[psutil.Process]) -> bool:
    return not any(is_alive(process) for process in family)


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A copy of the project, with a `var` of its own."""
    with tempfile.TemporaryDirectory(prefix="snap-up-") as folder:
        # PostgreSQL's own user must be able to pass when the tests run as root.
        Path(folder).chmod(0o711)
        copy = Path(folder) / "snap"
        shutil.copytree(BASE_DIR, copy, ignore=NOT_COPIED)
        yield copy
        for run in Run.started:
            # What it has started ends with it.
            run.popen.kill()
            run.popen.wait()


@pytest.mark.processes
def test_it_starts_restarts_what_dies_stops_whole_and_finds_its_data_again(checkout: Path) -> None:
    run = Run(checkout)
    run.wait_until_ready()
    assert f"http://localhost:{run.web_port}/promo/" in run.text()
    assert http.get(f"{run.url}/readyz").json()["level"] == 1
    before = up.read_environment(checkout / "var" / "env")
    with psycopg.connect(before["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    web = run.child("granian")
    web.kill()
    wait_for(lambda: not is_alive(web))
    wait_for(lambda: answers(f"{run.url}/healthz"), PATIENCE)

    family = run.family()
    os.killpg(run.popen.pid, signal.SIGINT)
    os.killpg(run.popen.pid, signal.SIGINT)
    assert run.popen.wait(PATIENCE) == 0
    assert none_is_left(family)

    again = Run(checkout)
    again.wait_until_ready()
    after = up.read_environment(checkout / "var" / "env")
    assert after["SECRET_KEY"] == before["SECRET_KEY"]
    with psycopg.connect(after["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)

    second = Run(checkout)
    assert second.popen.wait(PATIENCE) == 1
    assert f"already runs in this folder (process {again.popen.pid})" in second.text()

    family = again.family()
    again.popen.kill()
    again.popen.wait()
    wait_for(lambda: none_is_left(family), PATIENCE)


@pytest.mark.processes
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_it_stops_whole_while_it_is_still_starting(checkout: Path, signum: signal.Signals) -> None:
    run = Run(checkout)
    wait_for(lambda: len(run.family()) >= 2, PATIENCE)
    family = run.family()
    run.popen.send_signal(signum)
    assert run.popen.wait(PATIENCE) == 0
    assert none_is_left(family)
    assert "Traceback" not in run.text()


@pytest.mark.processes
def test_a_server_that_dies_is_started_again_with_its_port_and_data(checkout: Path) -> None:
    run = Run(checkout)
    run.wait_until_ready()
    addresses = up.read_environment(checkout / "var" / "env")
    with psycopg.connect(addresses["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE outlives AS SELECT 1 AS one")

    def level() -> int:
        with suppress(httpx.TransportError):
            return int(http.get(f"{run.url}/readyz", timeout=5).json()["level"])
        return 0

    for words, name in (("/bin/postgres", "postgresql"), ("valkey-server", "valkey")):
        server = run.child(words)
        server.kill()
        wait_for(lambda server=server: not is_alive(server))  # type: ignore[misc]
        wait_for(lambda name=name: name in run.text(), PATIENCE)  # type: ignore[misc]
        wait_for(lambda: level() == 1, PATIENCE)
        assert run.child(words).pid != server.pid
    assert run.text().count("ended by itself; starting it again with its data") == 2
    assert run.text().count("works again, on port") == 2
    with psycopg.connect(addresses["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT one FROM outlives").fetchone() == (1,)

    family = run.family()
    run.popen.terminate()
    assert run.popen.wait(PATIENCE) == 0
    assert none_is_left(family)


class Dying(embedded.Valkey):
    """A server whose start fails: its data are broken, say."""

    def start(self) -> None:
        raise embedded.EmbeddedError("Valkey did not start: bad file format.")


def test_a_server_that_dies_again_and_again_is_given_longer_pauses(tmp_path: Path) -> None:
    watched = up.ServerWatch(Dying(tmp_path / "valkey"))
    assert watched.look() == "ended by itself; starting it again with its data"
    pauses = []
    for deaths in range(2, 8):
        assert watched.start_at is not None
        watched.start_at = 0  # The pause is over.
        said = watched.look()
        assert f"Valkey did not start: bad file format. ended {deaths} times in a row" in said
        assert said.endswith(f"Its log says why: {tmp_path / 'valkey.log'}")
        pauses.append(round(watched.start_at - time.monotonic()))
        assert watched.look() == ""
    assert pauses == [2, 4, 8, 16, 30, 30]


TOLD_IN_A_FORK = """\
import os, signal
from snap.management.commands import up
from snap.processes import Process

up.catch_signals()
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGTERM))
watch = up.Watch([Process("sleeper", "sleep 60", os.environ)])
try:
    watch.start()
    watch.forever()
finally:
    watch.stop()
"""


def test_it_stops_though_it_is_told_so_in_the_middle_of_a_fork() -> None:
    """What a handler raises there is ignored by Python, and a second signal by us."""
    command = [sys.executable, "-c", TOLD_IN_A_FORK]
    told = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, timeout=30)
    assert "Exception ignored" in told.stderr
    assert told.returncode == 0


@pytest.mark.parametrize("variable", ["WEB_PORT", "WS_PORT"])
def test_a_port_that_is_taken_is_one_clear_line(checkout: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        run = Run(checkout, **{variable: str(port)})
        assert run.popen.wait(PATIENCE) == 1
    assert run.text() == (
        f"SNAP cannot start: port {port} cannot be used (address already in use);"
        f" choose another one: {variable}={port + 10} make run\n"
    )


def test_a_port_that_is_none_is_one_clear_line(checkout: Path) -> None:
    run = Run(checkout, WS_PORT="eight")
    assert run.popen.wait(PATIENCE) == 1
    assert run.text() == "SNAP cannot start: WS_PORT=eight is not a port number.\n"


def test_a_folder_that_cannot_be_written_is_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    place = tmp_path / "snap"
    shutil.copytree(checkout, place, ignore=NOT_COPIED)
    (place / "var").touch()
    run = Run(place)
    assert run.popen.wait(PATIENCE) == 1
    assert run.text() == f"SNAP cannot start: File exists: {place}/var\n"


@pytest.mark.skipif(servers.postgresql is None, reason="would write to a database that was given")
def test_it_starts_no_server_where_an_address_is_given(checkout: Path) -> None:
    assert servers.postgresql is not None
    run = Run(checkout, DATABASE_URL=servers.postgresql.url)
    # It starts servers, migrates and loads the demo before any process of the Procfile.
    wait_for(lambda: any("granian" in command for command in run.commands()), PATIENCE)
    commands = run.commands()
    run.popen.terminate()
    assert run.popen.wait(PATIENCE) == 0
    assert not any("/bin/postgres" in command for command in commands)
    assert any("valkey-server" in command for command in commands)
    assert "DATABASE_URL" not in up.read_environment(checkout / "var" / "env")


def test_an_unreachable_database_is_one_clear_line(checkout: Path) -> None:
    run = Run(checkout, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none")
    assert run.popen.wait(PATIENCE) == 1
    assert "Traceback" not in run.text()
    assert "SNAP cannot start: the database at DATABASE_URL does not answer" in run.text()


def test_what_people_added_to_the_environment_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "env"
    path.write_text("EMAIL_PROVIDER=smtp\nEMAIL_HOST=mail\nREDIS_URL=old\n")
    environment = {"DATABASE_URL": "given"}
    monkeypatch.setattr(os, "environ", environment)
    up.write_environment(path, {"DATABASE_URL": "made", "REDIS_URL": "new"})
    written = up.read_environment(path)
    assert environment == written | {"DATABASE_URL": "given"}
    assert len(written.pop("SECRET_KEY")) > 50
    assert len(written.pop("INBOX_TOKEN")) > 20
    assert written == {"EMAIL_PROVIDER": "smtp", "EMAIL_HOST": "mail", "REDIS_URL": "new"}
    assert path.stat().st_mode & 0o777 == 0o600
