"""Reports of errors: which, how often, and nothing in them about a person."""

import json
import logging
import smtplib
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.template import VariableDoesNotExist
from django.test import Client, RequestFactory
from pytest_django import Settings

from snap.local.embedded import free_port
from snap.observability import error_reports
from snap.observability.context import LogContext, following
from snap.observability.error_reports import report_error
from tests.factories import make_account
from tests.helpers import otlp
from tests.helpers.otlp import OtlpReceiver
from tests.helpers.stack import wait_for

log = logging.getLogger("guests.tests")
PHONE = "+351961234567"
EMAIL = "quiteria@example.com"
TOKEN = "Ab3dEf6hIj9kLm2nOp5qRs8t"
PERSONAL = (PHONE, PHONE[4:], "961 234 567", EMAIL, "quiteria", "Quit", "Zambujal", TOKEN, "424242")


class Reporting:
    """A process that reports its errors. `events` ends that, and returns what has arrived."""

    def __init__(self, receiver: OtlpReceiver) -> None:
        self.receiver = receiver

    def events(self) -> list[dict[str, Any]]:
        error_reports.stop()
        found = []
        for body in self.receiver.bodies:
            # An envelope: its header, the header of its item, and the item.
            _envelope, _item, event = body.split(b"\n")[:3]
            found.append(json.loads(event))
        return found


@pytest.fixture
def reporting(settings: Settings) -> Iterator[Reporting]:
    receiver = OtlpReceiver()
    settings.SENTRY_DSN = receiver.url.replace("://", "://key@") + "/1"
    error_reports.start()
    yield Reporting(receiver)
    error_reports.stop()
    receiver.close()


def fail(error: BaseException) -> None:
    raise error


def caught(error: BaseException) -> BaseException:
    """Return an error that was raised and caught."""
    try:
        fail(error)
    except BaseException as raised:  # noqa: BLE001
        return raised
    raise AssertionError


# What is reported ---------------------------------------------------------------------------------


def test_a_logged_error_is_reported_with_its_ids(reporting: Reporting) -> None:
    with following(LogContext("a-request", "a-ticket", "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")):
        log.error("guest_request_dead", extra={"event_id": 7, "state": "pending"})
    (event,) = reporting.events()
    assert event["logentry"] == {"message": "guest_request_dead"}
    assert event["extra"] == {"event_id": 7, "state": "pending"}
    assert event["tags"]["request_id"] == "a-request"
    assert event["tags"]["ticket_id"] == "a-ticket"
    assert event["contexts"]["trace"] == {"trace_id": "ab" * 16, "span_id": "cd" * 8}
    assert event["level"] == "error"
    assert reporting.receiver.paths == ["/api/1/envelope/"]


def test_an_exception_is_reported_with_its_place(reporting: Reporting) -> None:
    report_error(caught(TypeError("'NoneType' object is not callable")))
    (event,) = reporting.events()
    (value,) = event["exception"]["values"]
    assert (value["type"], value["value"]) == ("TypeError", "'NoneType' object is not callable")
    frame = value["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["context_line"].strip()) == ("fail", "raise error")
    assert not any("vars" in each for each in value["stacktrace"]["frames"])


def test_what_is_no_error_is_not_reported(reporting: Reporting, client: Client) -> None:
    log.warning("push_failed")
    logging.getLogger("django.security.DisallowedHost").error("Invalid HTTP_HOST header: %s", EMAIL)
    logging.getLogger("django.request").error(
        "%s: %s", "Service Unavailable", "/", extra={"status_code": 503}
    )
    client.get("/nowhere/")
    client.get("/healthz", headers={"host": "nowhere.example"})
    assert reporting.events() == []


def test_a_thread_that_fails_is_reported(
    reporting: Reporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[Any] = []
    reporter = error_reports._Process.reporter
    assert reporter is not None
    reporter._hooks = (reporter._hooks[0], printed.append)
    thread = threading.Thread(target=lambda: fail(LookupError(PHONE)))
    threading.excepthook, pytests = reporter._report_uncaught_in_thread, threading.excepthook
    try:
        thread.start()
        thread.join()
    finally:
        threading.excepthook = pytests
    assert len(printed) == 1
    (event,) = reporting.events()
    assert event["exception"]["values"][0]["type"] == "LookupError"


def test_the_same_error_is_reported_once_in_a_while(reporting: Reporting) -> None:
    for _ in range(50):
        log.error("database_unavailable", extra={"error": "OperationalError"})
        report_error(caught(ValueError("an outage")))
    log.error("entry_dead")
    messages = [event.get("logentry", {}).get("message") for event in reporting.events()]
    assert messages == ["database_unavailable", None, "entry_dead"]


def test_without_the_setting_nothing_is_reported() -> None:
    report_error(ValueError())
    assert error_reports._Process.reporter is None
    root = logging.getLogger()
    assert not [each for each in root.handlers if "Report" in type(each).__name__]


# Persons ------------------------------------------------------------------------------------------


def unique_violation() -> BaseException:
    account = make_account(phone=PHONE, email=EMAIL)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO accounts_user (phone, email, first_name, password, is_superuser)"
                " VALUES (%s, %s, 'Quitéria', '', false)",
                [PHONE, account.email],
            )
    except IntegrityError as error:
        return error
    raise AssertionError


def chained() -> BaseException:
    error = caught(ValueError(f"no account of {EMAIL}"))
    error.__cause__ = caught(KeyError(PHONE))
    return error


REFUSED = smtplib.SMTPRecipientsRefused({EMAIL: (550, f"no mailbox {EMAIL}".encode())})
ERRORS: dict[str, Callable[[], BaseException]] = {
    "key": lambda: caught(KeyError(PHONE)),
    "value": lambda: caught(ValueError(f"Quitéria Zambujal <{EMAIL}> 961 234 567")),
    "value without quotes": lambda: caught(RuntimeError("Zambujal is not on the list")),
    "type with a value": lambda: caught(TypeError(f"{PHONE} and {EMAIL} and {TOKEN}")),
    "database": unique_violation,
    "mail": lambda: caught(REFUSED),
    "mail server": lambda: caught(smtplib.SMTPDataError(554, f"{EMAIL} is full")),
    "file": lambda: caught(FileNotFoundError(2, "No such file", f"/media/qr/{TOKEN}.png")),
    "unicode": lambda: caught(UnicodeDecodeError("utf-8", b"Zambujal \xff", 9, 10, EMAIL)),
    "template": lambda: caught(VariableDoesNotExist("no %s", (f"{{'phone': '{PHONE}'}}",))),
    "group": lambda: caught(ExceptionGroup("Zambujal", [ValueError(PHONE), KeyError(EMAIL)])),
    "chain": chained,
    "note": lambda: with_note(),
}


def with_note() -> BaseException:
    error = caught(ValueError(PHONE))
    error.add_note(f"the code was 424242, for {EMAIL}")
    return error


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("by", ["report", "log"])
def test_no_report_has_anything_of_a_person(reporting: Reporting, kind: str, by: str) -> None:
    with following(LogContext("a-request")):
        error = ERRORS[kind]()
        if by == "report":
            report_error(error)
        else:
            log.error("it_failed", exc_info=error)
    (event,) = reporting.events()
    text = json.dumps(event["exception"]["values"], ensure_ascii=False)
    # The source of this test has these words.
    for value in event["exception"]["values"]:
        for frame in value.get("stacktrace", {}).get("frames", []):
            for part in ("pre_context", "context_line", "post_context"):
                frame.pop(part, None)
    text = json.dumps(event, ensure_ascii=False)
    assert [word for word in PERSONAL if word in text] == []
    assert type(error).__name__ in text


def test_a_method_that_a_client_has_invented_is_not_reported(reporting: Reporting) -> None:
    request = RequestFactory().generic(PHONE, "/")
    error = caught(ValueError())
    failed = (type(error), error, error.__traceback__)
    logging.getLogger("django.request").error("x", exc_info=failed, extra={"request": request})
    (event,) = reporting.events()
    assert event["tags"]["http.method"] == "OTHER"


@pytest.mark.django_db
def test_a_database_error_keeps_its_constraint(reporting: Reporting) -> None:
    report_error(unique_violation())
    (event,) = reporting.events()
    texts = [value["value"] for value in event["exception"]["values"]]
    assert any("accounts_user" in text for text in texts), texts


@pytest.mark.parametrize(
    ("name", "message", "arguments", "extra"),
    [
        ("django.request", "%s: %s", ("Internal Server Error", f"/guest/{TOKEN}"), {}),
        ("asyncio", f"Task exception was never retrieved\nfuture: {EMAIL}", (), {}),
        ("celery.app.trace", "Task %(name)s raised: %(exc)s", ({"name": "x", "exc": PHONE},), {}),
        ("uvicorn.error", "Exception in ASGI application\n", (), {"client": EMAIL}),
        ("some.package", f"could not reach {EMAIL} at {PHONE}", (), {"body": "Zambujal"}),
        ("guests.tests", "it_failed", (), {"to": EMAIL, "phone": PHONE, "code": "424242"}),
    ],
)
def test_no_line_of_a_library_brings_a_person_along(
    reporting: Reporting, name: str, message: str, arguments: Any, extra: dict[str, str]
) -> None:
    error = caught(ValueError(PHONE))
    request = SimpleNamespace(
        method="POST", path=f"/guest/{TOKEN}", resolver_match=SimpleNamespace(route="guest/<token>")
    )
    about = {"request": request, "status_code": 500} | extra
    logging.getLogger(name).error(message, *arguments, exc_info=error, extra=about)
    (event,) = reporting.events()
    del event["exception"]
    text = json.dumps(event, ensure_ascii=False)
    assert [word for word in PERSONAL if word in text] == []
    assert event["logger"] == name
    assert event["tags"]["route"] == "guest/<token>"


# Receivers that are not well ----------------------------------------------------------------------


@pytest.mark.parametrize("behave", [otlp.refuse, otlp.overloaded, otlp.break_off])
def test_a_receiver_that_refuses_costs_one_line(
    reporting: Reporting, caplog: pytest.LogCaptureFixture, behave: Any
) -> None:
    caplog.set_level(logging.INFO, "snap")
    reporting.receiver.behave = behave
    log.error("the_first")
    log.error("the_second")
    wait_for(lambda: len(reporting.receiver.paths) >= 2, 30)
    reporting.receiver.behave = otlp.accept
    log.error("the_third")
    wait_for(lambda: reporting.receiver.bodies, 30)
    error_reports.stop()
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("snap.")]
    assert ours == ["reports_not_sent", "reports_sent_again"]


def test_a_receiver_that_is_away_costs_one_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SENTRY_DSN = f"http://key@127.0.0.1:{free_port()}/1"
    error_reports.start()
    log.error("the_first")
    log.error("the_second")
    error_reports.stop()
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("snap.")]
    assert ours == ["reports_not_sent"]


@pytest.mark.slow
@pytest.mark.parametrize("behave", [otlp.hang, otlp.drip])
def test_a_receiver_that_hangs_holds_no_thread_for_ever(
    reporting: Reporting, caplog: pytest.LogCaptureFixture, behave: Any
) -> None:
    reporting.receiver.behave = behave
    log.error("the_first")
    wait_for(lambda: "reports_not_sent" in caplog.text, 60)
    reporting.receiver.behave = otlp.accept
    log.error("the_second")
    wait_for(lambda: reporting.receiver.bodies, 60)
