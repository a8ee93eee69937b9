"""`make run` as a newcomer sees it: what it shows, restarts, and leaves behind."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.helpers import servers
from tests.helpers.local_run import PATIENCE, Run, is_alive, none_is_left
from tests.helpers.stack import http, responds, wait_for

STOPPED = "\nStopping SNAP ... stopped. The next `make run` continues with the data in var/.\n"

pytestmark = pytest.mark.processes


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_it_starts_restarts_what_dies_stops_whole_and_finds_its_data_again(checkout: Path) -> None:
    run = Run(checkout)
    run.wait_until_ready()
    assert http.get(f"{run.url}/readyz").json()["level"] == 1
    before = run.written_environment()
    with psycopg.connect(before["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    web = run.child("granian")
    web.kill()
    wait_for(lambda: not is_alive(web))
    # The children of the killed process may still answer for a moment.
    wait_for(lambda: "web is restarted." in run.text(), PATIENCE)
    assert "web ended (killed by SIGKILL). It is restarted in 1 s" in run.text()
    wait_for(lambda: responds(f"{run.url}/healthz"), PATIENCE)

    family = run.family()
    os.killpg(run.popen.pid, signal.SIGINT)
    os.killpg(run.popen.pid, signal.SIGINT)
    assert run.popen.wait(PATIENCE) == 0
    assert none_is_left(family)
    assert run.text().endswith(STOPPED)
    left = list((checkout / "var").rglob("*"))
    assert checkout / "var" / "up.lock" not in left
    assert not any(path.is_socket() for path in left)

    again = Run(checkout)
    again.wait_until_ready()
    after = again.written_environment()
    assert after["SECRET_KEY"] == before["SECRET_KEY"]
    with psycopg.connect(after["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)

    second = Run(checkout)
    assert f"it already runs in this folder. Stop it first: kill {again.popen.pid}" in second.fail()

    family = again.family()
    again.popen.kill()
    again.popen.wait()
    wait_for(lambda: none_is_left(family), PATIENCE)


@pytest.mark.slow
def test_the_screen_shows_steps_and_addresses_and_the_logs_are_files(checkout: Path) -> None:
    run = Run(checkout)
    run.wait_until_ready()
    steps, _, addresses = run.text().partition("\nSNAP is running. Ctrl-C stops it.\n")
    assert steps.splitlines() == [
        "Starting PostgreSQL",
        "Starting Valkey",
        "Preparing the database, the demo and the static files",
        "Starting web, ws, worker, emails, sweeper",
    ]
    password = run.written_environment()["DEMO_PASSWORD"]
    for words in (
        f"Promo link    {run.url}/promo/noite-de-abertura/ana/",
        f"Admin         {run.url}/admin/",
        f"phone +351 910 000 000, password {password}",
        f"Dashboard     {run.url}/staff/",
        f"Inbox         {run.url}/inbox/",
        "make logs",
    ):
        assert words in addresses
    assert max(map(len, run.text().splitlines())) <= 80

    def is_logged() -> bool:
        return "worker@" in run.log("all") and "Uvicorn running" in run.log("all")

    wait_for(is_logged, PATIENCE)
    assert "granian" in run.log("web")
    assert "ready to accept connections" in run.log("postgresql")
    for banner in ("concurrency:", "Configuration allows spawning", "superuser privileges"):
        assert banner not in run.log("all")
    log_dir = checkout / "var" / "log"
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in log_dir.iterdir())
    run.stop()


@pytest.mark.slow
def test_a_process_that_is_left_out_runs_by_the_command_that_is_shown(checkout: Path) -> None:
    run = Run(checkout, "--without", "web")
    run.wait_until_ready()
    wait_for(lambda: "Left out: web." in run.text())
    assert not responds(f"{run.url}/healthz")
    assert not any("granian" in command for command in run.commands())
    command = run.text().strip().splitlines()[-1].split()
    assert command[0] == ".venv/bin/python"
    # Like a terminal of a user: without the variables that `make run` was given.
    env = {name: value for name, value in run.env.items() if not name.startswith("W")}
    web = subprocess.Popen(
        [sys.executable, *command[1:], "--noreload"],
        cwd=checkout,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: responds(f"{run.url}/healthz"), PATIENCE)
        page = http.get(f"{run.url}/promo/noite-de-abertura/ana/")
        assert page.status_code == httpx.codes.OK
    finally:
        web.kill()
        web.wait()
    run.stop()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_it_stops_whole_while_it_is_still_starting(checkout: Path, signum: signal.Signals) -> None:
    run = Run(checkout)
    wait_for(lambda: len(run.family()) >= 2, PATIENCE)
    family = run.family()
    run.popen.send_signal(signum)
    assert run.popen.wait(PATIENCE) == 0
    assert none_is_left(family)
    assert "Traceback" not in run.text()


@pytest.mark.slow
def test_a_server_that_dies_is_restarted_with_its_port_and_data(checkout: Path) -> None:
    run = Run(checkout)
    run.wait_until_ready()
    addresses = run.written_environment()
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
        wait_for(lambda name=name: f"{name} is restarted." in run.text(), PATIENCE)  # type: ignore[misc]
        wait_for(lambda: level() == 1, PATIENCE)
        assert run.child(words).pid != server.pid
        assert f"{name} ended (killed by SIGKILL)." in run.text()
    with psycopg.connect(addresses["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT one FROM outlives").fetchone() == (1,)
    run.stop()


@pytest.mark.slow
@pytest.mark.skipif(servers.postgresql is None, reason="would write to a database that was given")
def test_it_starts_no_server_where_an_address_is_given(checkout: Path) -> None:
    assert servers.postgresql is not None
    run = Run(checkout, DATABASE_URL=servers.postgresql.url)
    # Servers, migrations and the demo come before the processes of the Procfile.
    wait_for(lambda: any("granian" in command for command in run.commands()), PATIENCE)
    commands = run.commands()
    run.popen.terminate()
    assert run.popen.wait(PATIENCE) == 0
    assert not any("/bin/postgres" in command for command in commands)
    assert any("valkey-server" in command for command in commands)
    assert "DATABASE_URL" not in run.written_environment()
