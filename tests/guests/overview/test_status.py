"""`manage.py status`: once, again and again, as text and as JSON."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from guests.management.commands.status import fitting
from snap.local.processes import BASE_DIR
from tests.helpers.own_servers import own_postgresql
from tests.helpers.stack import Stack, database_url, monitored, wait_for

COMMAND = [sys.executable, "manage.py", "status"]


def run(*arguments: str) -> tuple[str, int]:
    """Return what the command printed, and its exit status."""
    out = StringIO()
    try:
        call_command("status", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


def environment() -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"}
    return given | {"DATABASE_URL": database_url(), "PYTHONUNBUFFERED": "1"}


@contextmanager
def watching(**options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*COMMAND, "--watch"], cwd=BASE_DIR, env=environment(), **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.django_db
def test_a_part_that_is_down_ends_it_with_2() -> None:
    """Without the processes there are no workers and no sweeper."""
    text, status = run()
    assert status == 2
    assert text.startswith("SNAP at ")
    assert "docs/operations.md#sweeperaway" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.django_db
def test_json_has_the_picture_and_what_is_wrong() -> None:
    text, status = run("--json")
    assert status == 2
    assert len(text.splitlines()) == 1
    told = json.loads(text)
    assert told["status"] == "down"
    assert told["health"]["database"] is True
    assert told["rows"]["queues"]["requests"] == {"depth": 0, "oldest_age": 0.0}
    assert {"severity", "text", "heading"} == set(told["problems"][0])


@pytest.mark.slow
def test_all_is_well_with_all_processes(stack: Stack) -> None:
    with monitored(stack):
        # The load is the difference of two readings.
        wait_for(lambda: "a second, 95 % within" in run()[0], 30)
        text, status = run()
    assert status == 0
    assert ": well" in text
    assert "workers ok" in text
    assert "Host" in text


@pytest.mark.slow
@pytest.mark.usefixtures("transactional_db")
def test_a_watch_prints_again_and_ends_by_ctrl_c() -> None:
    with watching(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = b""
        while seen.count(b"SNAP at ") < 2:
            seen += os.read(process.stdout.fileno(), 65_536)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert b"\x1b[" not in seen + rest, "plain text, because nobody looks at a terminal"
    assert errors == b""
    assert process.returncode == 2


@pytest.mark.slow
@pytest.mark.usefixtures("transactional_db")
def test_a_terminal_is_redrawn() -> None:
    ours, theirs = pty.openpty()
    with watching(stdout=theirs, stderr=theirs) as process:
        seen = b""
        deadline = time.monotonic() + 30
        while seen.count(b"\x1b[H\x1b[J") < 2 and time.monotonic() < deadline:
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    os.close(ours)
    os.close(theirs)
    assert seen.count(b"\x1b[H\x1b[J") >= 2
    assert b"Traceback" not in seen


def test_the_top_of_the_picture_stays_in_a_low_terminal() -> None:
    lines = [str(number) for number in range(40)]
    shown = fitting(lines, 24)
    assert len(shown) == 23
    assert shown[:22] == lines[:22]
    assert "more" in shown[-1]
    assert fitting(lines, 41) == lines


@pytest.mark.slow
@pytest.mark.usefixtures("transactional_db")
def test_a_reader_that_has_seen_enough_ends_it() -> None:
    with watching(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout as output, process.stderr as errors:
            output.readline()
            output.close()
            process.wait(60)
            assert errors.read() == b""


@pytest.mark.slow
@pytest.mark.usefixtures("stoppable_database")
def test_a_database_that_is_away_is_said_within_seconds() -> None:
    environ = environment()
    own_postgresql().stop("immediate")
    began = time.monotonic()
    done = subprocess.run(COMMAND, cwd=BASE_DIR, env=environ, capture_output=True, text=True)
    assert time.monotonic() - began < 20
    assert done.returncode == 2
    assert done.stderr == ""
    assert "PostgreSQL does not respond. Requests go to the journal." in done.stdout
    assert "docs/operations.md#databaseaway" in done.stdout
