"""What `make run` shows of SNAP's work, in both formats of log lines."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from snap.local.activity import describe, read_line
from snap.local.output import LogFiles, Output
from snap.observability.context import LogContext, begin, following
from snap.observability.logs import ContextFilter, make_formatter
from snap.observability.request_log import log_line

URL = "http://localhost:8000"
BOTH = pytest.mark.parametrize("kind", ["plain", "ecs"])


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    yield
    begin()


def line_of(kind: str, name: str, event: str, **fields: object) -> str:
    record = logging.makeLogRecord({"name": name, "msg": event, "levelname": "INFO", **fields})
    with following(LogContext("r" * 32, "5e40b71b-a487-45a0-bcb0-9235ab848c57")):
        ContextFilter().filter(record)
    return make_formatter(kind).format(record)


def request_line(kind: str, path: str = "/promo/festa/", status: int = 200) -> str:
    fields = {"method": "GET", "path": path, "status": status, "duration_ms": 12.4, "route": "x"}
    return line_of(kind, "snap.requests", "request", **fields)


def shown(line: str, *, coloured: bool = False) -> str:
    return describe(read_line(line), URL, coloured=coloured)


@BOTH
def test_a_request_is_a_line(kind: str) -> None:
    assert shown(request_line(kind)) == "GET  200 /promo/festa/ 12 ms"


@BOTH
@pytest.mark.parametrize(("status", "colour"), [(200, 32), (302, 36), (404, 33), (500, 31)])
def test_its_status_has_a_colour_on_a_terminal(kind: str, status: int, colour: int) -> None:
    expected = f"GET  \033[{colour}m{status}\033[0m /promo/festa/ 12 ms"
    assert shown(request_line(kind, status=status), coloured=True) == expected


@BOTH
def test_an_email_is_a_link_to_the_inbox(kind: str) -> None:
    line = line_of(
        kind, "notifications.inbox", "email_in_inbox", inbox_name="20261128T004418123456-22317bfa"
    )
    assert shown(line) == f"Email: {URL}/inbox/20261128T004418123456-22317bfa/"


@BOTH
def test_each_end_of_a_request_is_a_sentence(kind: str) -> None:
    name, event = "guests.requests.creating", "guest_request_ended"
    created = line_of(kind, name, event, state="created", guest_id=7)
    assert shown(created) == "Guest 7 is on the list."
    waiting = line_of(kind, name, event, state="waitlisted", guest_id=8)
    assert shown(waiting) == "Guest 8 is in the waiting list."
    refused = line_of(kind, name, event, state="refused", code="list_full")
    assert shown(refused) == "A request was refused: list_full."


@BOTH
def test_nothing_else_is_shown(kind: str) -> None:
    assert shown(line_of(kind, "uvicorn.error", "Started server process [1]")) == ""
    assert shown(line_of(kind, "accounts.services", "account_registered", account_id=1)) == ""
    assert shown(request_line(kind, path="/readyz", status=503)) == ""


@pytest.mark.parametrize("line", ["", "{", "[]", '{"a":', "Started worker-1", "request", "{}"])
def test_lines_of_others_are_none_of_ours(line: str) -> None:
    assert shown(line) == ""


@BOTH
def test_a_line_that_was_cut_is_not_shown(kind: str) -> None:
    line = request_line(kind)
    for length in range(len(line)):
        shown(line[:length])


@BOTH
def test_the_screen_shows_it_once_snap_runs(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = Output(LogFiles(tmp_path / "log"), ["web"], verbose=False)
    output.process_line("web", request_line(kind))
    assert capfd.readouterr().out == ""
    output.show_activity(URL)
    output.process_line("web", request_line(kind))
    assert capfd.readouterr().out[9:] == "GET  200 /promo/festa/ 12 ms\n"


def test_an_error_in_json_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = Output(LogFiles(tmp_path / "log"), ["web"], verbose=False)
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        details = (type(error), error, error.__traceback__)
    record = logging.LogRecord("django.request", logging.ERROR, "x", 1, "failed", (), details)
    output.process_line("web", make_formatter("ecs").format(record))
    output.print_pending_errors()
    expected = "web logged an error: RuntimeError: boom (failed) (make logs ONLY=web)\n"
    assert capfd.readouterr().out[9:] == expected


def test_lines_of_requests_are_read_as_they_are_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    log_line(logging.INFO, "POST", "/promo/festa/-/phone/", "promo:phone", 303, 0.0, "")
    line = make_formatter().format(caplog.records[0])
    assert shown(line).startswith("POST 303 /promo/festa/-/phone/ ")
