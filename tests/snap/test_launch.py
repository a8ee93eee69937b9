"""Each process and command ends with one sentence when a setting cannot work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snap.local.processes import BASE_DIR, read_procfile
from tests.helpers.programs import program_environment

COMMANDS = {
    **{process.name: f"exec {process.command}" for process in read_procfile({})},
    "manage.py": "exec python manage.py check",
    "manage.py help": "exec python manage.py help",
    "celery": "exec celery -A snap inspect ping",
    "own server": "exec uvicorn snap.asgi:application",
}


def start(command: str, **variables: str) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=BASE_DIR,
        env=program_environment(PATH=path, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def screens(*names: str, **variables: str) -> dict[str, tuple[int, str]]:
    """Return the exit status and the output of each command, which all run at once."""
    started = {name: start(COMMANDS[name], **variables) for name in names}
    found = {}
    for name, process in started.items():
        output, _ = process.communicate(timeout=60)
        found[name] = (process.returncode, output)
    return found


@pytest.mark.parametrize(
    "names", [("web", "manage.py"), pytest.param(tuple(COMMANDS), marks=pytest.mark.slow)]
)
def test_every_process_and_command_says_one_sentence(names: tuple[str, ...]) -> None:
    sentence = "SNAP cannot start: EMAIL_PORT must be a whole number from 1 to 65535, not 'many'.\n"
    assert screens(*names, EMAIL_PORT="many") == dict.fromkeys(names, (1, sentence))


@pytest.mark.slow
def test_what_an_app_finds_out_is_one_sentence_too() -> None:
    variables = {"SMS_BACKEND": "accounts.sms.nothing"}
    with start(COMMANDS["sweeper"], **variables) as process:
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (
        1,
        "SNAP cannot start: SMS_BACKEND names an object that cannot be imported; it must be a"
        " dotted path such as accounts.sms.console.\n",
    )


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("web", "WEB_WORKERS", "0"),
        ("ws", "WS_PORT", "many"),
        ("worker", "WORKER_CONCURRENCY", "-1"),
    ],
)
def test_a_variable_of_the_procfile_is_named(name: str, variable: str, value: str) -> None:
    with start(COMMANDS[name], **{variable: value}) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith(f"SNAP cannot start: {variable} must be a whole number from 1 to ")
    assert output.count("\n") == 1


def test_a_program_that_is_not_installed() -> None:
    with start("exec python -m snap.launch no-such-server") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith("SNAP cannot start: no-such-server is not in PATH; ")


@pytest.mark.slow
def test_a_command_without_its_database() -> None:
    url = "postgres://nobody:secret@127.0.0.1:1/none"
    with start("exec python manage.py migrate", DATABASE_URL=url) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.endswith("Connection refused.\n")
    assert output.startswith("SNAP cannot start: the database at DATABASE_URL does not respond: ")
    assert output.count("\n") == 1
    assert "secret" not in output
