"""Both formats of log lines, and what is written past logging."""

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snap.local.processes import BASE_DIR
from snap.observability.context import LogContext, begin, current, following
from snap.observability.ecs import EcsFormatter
from snap.observability.logs import ContextFilter, LineHandler, PlainFormatter, make_formatter
from tests.helpers.log_lines import find_secrets, read_ecs
from tests.helpers.programs import program_environment

CONTEXT = LogContext(
    "a" * 32, "5e40b71b-a487-45a0-bcb0-9235ab848c57", f"00-{'b' * 32}-{'c' * 16}-01"
)
PERSON = ("Ana Silva", "ana@example.pt", "+351912345678")


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    begin()
    yield
    begin()


def record_of(
    name: str = "guests.tests", message: str = "event", **extra: Any
) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.INFO, "x.py", 7, message, (), None)
    vars(record).update(extra)
    ContextFilter().filter(record)
    return record


def ecs(record: logging.LogRecord) -> dict[str, Any]:
    return read_ecs(EcsFormatter().format(record))


def failed() -> Any:
    try:
        raise ValueError(f"no place for '{PERSON[0]}'")
    except ValueError:
        return sys.exc_info()


def test_fields_have_the_names_of_the_schema() -> None:
    with following(CONTEXT):
        fields = ecs(record_of(guest_id=5, error="OSError (x.py:1)", nothing=None))
    assert fields["message"] == fields["event.action"] == "event"
    assert fields["http.request.id"] == CONTEXT.request_id
    assert fields["snap.ticket_id"] == CONTEXT.ticket_id
    assert fields["trace.id"] == "b" * 32
    assert fields["snap.guest_id"] == 5
    assert fields["error.message"] == "OSError (x.py:1)"
    assert "snap.nothing" not in fields
    assert fields["log.logger"] == "guests.tests"


def test_a_line_names_no_request_after_it() -> None:
    with following(CONTEXT):
        assert current() == CONTEXT
    assert "http.request.id" not in ecs(record_of())
    assert "request_id" not in PlainFormatter().format(record_of())


def test_threads_have_contexts_of_their_own() -> None:
    seen = []
    with following(CONTEXT):
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()
    assert seen == [LogContext()]


@pytest.mark.parametrize("formatter", [PlainFormatter(), EcsFormatter()])
def test_an_error_has_its_place_and_no_values(formatter: logging.Formatter) -> None:
    line = formatter.format(record_of(exc_info=failed()))
    assert "ValueError" in line
    assert "test_logs.py" in line
    assert not find_secrets(line, PERSON)


@pytest.mark.parametrize("formatter", [PlainFormatter(), EcsFormatter()])
@pytest.mark.parametrize("name", ["django.request", "asyncio", "celery.app.trace"])
def test_extra_fields_of_libraries_are_left_out(formatter: logging.Formatter, name: str) -> None:
    record = record_of(name, f"failed for {PERSON[1]}", request=PERSON, args_of_task=PERSON)
    assert not find_secrets(formatter.format(record), PERSON)


@pytest.mark.parametrize("formatter", [PlainFormatter(), EcsFormatter()])
def test_values_of_our_own_fields_are_searched_too(formatter: logging.Formatter) -> None:
    line = formatter.format(record_of(note=f"{PERSON[1]} {PERSON[2]}", provider="smtp"))
    assert not find_secrets(line, PERSON)
    assert "smtp" in line


def test_a_client_causes_no_traceback() -> None:
    fields = ecs(record_of("django.security.csrf", exc_info=failed(), status_code=403))
    assert "error.stack_trace" not in fields


def test_odd_values_make_valid_lines() -> None:
    odd = ["\ud800", "\x00\x1b[2J\x85\u2028", "x" * 20_000, object(), b"\xff", float("1.5")]
    for value in odd[:2] + odd[3:]:
        line = EcsFormatter().format(record_of(value=value))
        assert len(line.splitlines()) == 1
        assert line.isascii()
        read_ecs(line)


@pytest.mark.parametrize("formatter", [PlainFormatter(), EcsFormatter()])
@pytest.mark.parametrize("name", ["guests.tests", "celery.app.trace"])
def test_a_long_text_is_cut_after_it_was_searched(formatter: logging.Formatter, name: str) -> None:
    for size in range(975, 1001):
        text = f"{'x ' * 500}"[:size] + " +351 912 345 678"
        line = formatter.format(record_of(name, text, exc_info=failed(), note=text))
        assert "+3" not in line.partition("Traceback")[0]
        assert len(line) < 12_000


def test_a_long_traceback_is_cut() -> None:
    def recurse(depth: int) -> None:
        if not depth:
            raise ValueError
        (recurse if depth % 2 else again)(depth - 1)

    def again(depth: int) -> None:
        recurse(depth)

    try:
        recurse(300)
    except ValueError:
        fields = ecs(record_of(exc_info=sys.exc_info()))
    assert fields["error.stack_trace"].startswith("…")
    assert fields["error.stack_trace"].endswith("ValueError")


@pytest.mark.parametrize("kind", ["plain", "ecs"])
def test_a_message_that_does_not_fit_its_values_is_one_line(kind: str) -> None:
    stream = io.StringIO()
    handler = LineHandler(stream)
    handler.setFormatter(make_formatter(kind))
    logger = logging.Logger("guests.tests")
    logger.addHandler(handler)
    logger.info("%d guests", PERSON[0])
    logger.info("event", extra={"value": Unprintable()})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "log_line_failed" in lines[1]
    assert not find_secrets(stream.getvalue(), PERSON)
    if kind == "ecs":
        assert all(map(read_ecs, lines))


class Unprintable:
    def __str__(self) -> str:
        raise ValueError(PERSON[0])


def test_the_other_format_is_not_imported() -> None:
    code = (
        "import snap.observability.logs as logs, sys;"
        " logs.make_formatter(); print('ecs_logging' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"


WRONG = {
    "a setting": {"LIMIT_IP": "many"},
    "a secret": {"SECRET_KEY": "short"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    "program", [["-m", "snap.launch", "granian", "--interface", "wsgi"], ["manage.py", "sweeper"]]
)
def test_a_process_that_cannot_start_says_so_in_a_line(
    program: list[str], wrong: dict[str, str]
) -> None:
    environment = program_environment() | {"LOG_FORMAT": "ecs"} | wrong
    command = [sys.executable, *program]
    run = subprocess.run(
        command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    (fields,) = [read_ecs(line) for line in run.stderr.splitlines()]
    assert "SNAP cannot start" in fields["message"]
    assert run.stdout == ""


PAST_LOGGING = """
import django, os, sys, threading, warnings
django.setup()
name = "Ana " + "Silva"
warnings.warn(f"for '{name}' +351 " + "912345678")
thread = threading.Thread(target=lambda: int(name))
thread.start(); thread.join()
class Broken:
    def __del__(self): raise ValueError(repr(name))
Broken()
raise ValueError(repr(name), "ana" + "@example.pt")
"""


def test_uncaught_errors_and_warnings_are_lines(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PAST_LOGGING)
    environment = program_environment() | {
        "LOG_FORMAT": "ecs",
        "DJANGO_SETTINGS_MODULE": "snap.settings",
        "PYTHONPATH": str(BASE_DIR),
    }
    run = subprocess.run(
        [sys.executable, str(script)], cwd=BASE_DIR, env=environment, capture_output=True, text=True
    )
    lines = [read_ecs(line) for line in run.stderr.splitlines()]
    assert {"thread_failed", "error_ignored", "uncaught_error"} <= {
        each["message"] for each in lines
    }
    assert "py.warnings" in {each["log.logger"] for each in lines}
    assert not find_secrets(run.stderr, PERSON)
