"""Each reason that SNAP cannot start is one clear sentence."""

import shutil
import socket
from pathlib import Path

import pytest

from snap.local.embedded import free_port
from snap.local.environment import StartError
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
    assert run.fail() == "SNAP cannot start: WS_PORT=eight is not a port number.\n"


def test_a_process_that_does_not_exist(checkout: Path) -> None:
    run = Run(checkout, "--without", "web", "wbe")
    assert run.fail() == (
        "SNAP cannot start: there is no process wbe. There are web, ws, worker, emails, sweeper.\n"
    )


def test_a_folder_that_cannot_be_written(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "snap"
    shutil.copytree(checkout, copy, ignore=NOT_COPIED)
    (copy / "var").touch()
    assert Run(copy).fail() == f"SNAP cannot start: File exists: {copy}/var\n"


def test_an_unreachable_database(checkout: Path) -> None:
    run = Run(checkout, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none")
    text = run.fail()
    assert "Traceback" not in text
    assert "SNAP cannot start: the database at DATABASE_URL does not respond" in text


@pytest.mark.slow
@pytest.mark.processes
def test_a_process_that_ends_at_once_is_shown_with_its_log(checkout: Path) -> None:
    run = Run(checkout, WEB_WORKERS="none")
    text = run.fail()
    assert f"SNAP cannot start: web ended (exit code 2). The end of {checkout}/var/log/web" in text
    assert "'none' is not a valid integer" in text
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
