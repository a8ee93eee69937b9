"""Each reason that SNAP cannot start is one clear sentence."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from snap.local.embedded import free_port
from snap.local.environment import StartError
from snap.local.processes import BASE_DIR
from snap.local.stack import process_names, single_instance
from tests.helpers.local_run import NOT_COPIED, Run


@pytest.mark.parametrize("variable", ["WEB_PORT", "WS_PORT"])
def test_a_port_in_use(checkout: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        run = Run(checkout, **{variable: str(port)})
        text = run.fail()
    assert text == (
        f"SNAP cannot start: port {port} cannot be used (address already in use)."
        f" Choose another one: {variable}={port + 10} make run\n"
    )


def test_a_port_that_is_not_a_number(checkout: Path) -> None:
    run = Run(checkout, WS_PORT="eight")
    assert run.fail() == (
        "SNAP cannot start: WS_PORT must be a whole number from 1 to 65535, not 'eight'.\n"
    )


def test_a_process_that_does_not_exist(checkout: Path) -> None:
    run = Run(checkout, "--without", "web", "wbe")
    assert run.fail() == (
        "SNAP cannot start: there is no process wbe. There are web, ws, worker, emails, sweeper.\n"
    )


def test_a_folder_that_cannot_be_written(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "snap"
    shutil.copytree(checkout, copy, ignore=NOT_COPIED)
    (copy / "var").touch()
    assert Run(copy).fail() == (
        f"SNAP cannot start: File exists: {copy}/var; rename or remove that path.\n"
    )


@pytest.mark.slow
def test_an_unreachable_database(checkout: Path) -> None:
    run = Run(checkout, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none")
    text = run.fail()
    assert "Traceback" not in text
    assert "SNAP cannot start: the database at DATABASE_URL does not respond" in text
    assert "psycopg.pool" not in text


@pytest.mark.slow
@pytest.mark.processes
def test_a_process_that_ends_at_once_is_shown_with_its_log(checkout: Path) -> None:
    procfile = checkout / "Procfile"
    text = procfile.read_text()
    procfile.write_text(text.replace("--interface wsgi", "--interface none"))
    try:
        text = Run(checkout).fail()
    finally:
        shutil.copy(BASE_DIR / "Procfile", procfile)
    assert f"SNAP cannot start: web ended (exit code 2). The end of {checkout}/var/log/web" in text
    assert "'none' is not one of" in text
    assert "SNAP is running" not in text


def test_processes_can_be_left_out() -> None:
    assert process_names(["web", "sweeper"]) == ["ws", "worker", "emails"]


def test_a_second_run_in_the_same_folder(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    with (
        single_instance(lock),
        pytest.raises(StartError, match="already runs"),
        single_instance(lock),
    ):
        pass
    assert not lock.exists()
    with single_instance(lock):
        assert lock.exists()


def run_command(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "audit", "--help"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )


REQUIRED = {
    "SECRET_KEY": "x" * 50,
    "PUBLIC_URL": "http://localhost:8000",
    "DATABASE_URL": "postgres://localhost/snap",
    "REDIS_URL": "redis://localhost",
}


@pytest.mark.slow
@pytest.mark.parametrize("missing", REQUIRED)
def test_a_command_before_the_first_run(tmp_path: Path, missing: str) -> None:
    copy = tmp_path / "snap"
    shutil.copytree(BASE_DIR, copy, ignore=NOT_COPIED)
    given = dict(REQUIRED)
    del given[missing]
    refused = run_command(copy, **given)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"SNAP cannot start: {missing} is not set; `make run` writes it to var/env, and production"
        " sets SECRET_KEY, PUBLIC_URL, DATABASE_URL and REDIS_URL.\n"
    )
    assert run_command(copy, **REQUIRED).returncode == 0


def test_a_setting_that_another_one_needs(checkout: Path) -> None:
    given = {**REQUIRED, "PUBLIC_URL": "https://snap.example"}
    refused = run_command(checkout, **given)
    assert refused.returncode == 1
    assert refused.stderr == (
        "SNAP cannot start: METRICS_TOKEN must be set to a random text that Prometheus sends for"
        " /metrics.\n"
    )
