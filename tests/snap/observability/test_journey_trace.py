"""A visitor's way as two real receivers get it: its trace by OpenTelemetry, its errors in Bugsink.

All processes of the Procfile send to both.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest
from django.db import connection

from accounts.models import LoginCode
from guests.models import Event, Guest, GuestRequest
from notifications.models import Email
from tests.factories import make_event
from tests.helpers.bugsink import Bugsink
from tests.helpers.otlp import OtlpReceiver, ReceivedSpan
from tests.helpers.stack import Stack, wait_for

# The first run installs Bugsink.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

ALL = ("web", "ws", "worker", "emails", "sweeper")
PERSON = {"first_name": "Quitéria", "last_name": "Zambujal", "email": "quiteria@example.com"}
PHONE = "961 234 567"
# How a person can be found in any of the texts.
PERSONAL = ("961234567", "961 234 567", "961%20234", "Quit", "Zambujal", "quiteria")


class Receivers(NamedTuple):
    traces: OtlpReceiver
    reports: Bugsink


@pytest.fixture(scope="module")
def receivers(_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    """Both receivers. All processes send the traces of all requests."""
    reports = Bugsink(tmp_path_factory.mktemp("reports") / "bugsink")
    traces = OtlpReceiver()
    _stack.wake()
    sent_to = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20only-for-tests",
        "OTEL_TRACES_SAMPLER_ARG": "1",
        "SENTRY_DSN": reports.dsn,
        "SENTRY_RELEASE": "a release",
    }
    _stack.env |= sent_to
    _stack.restart(*ALL)
    yield Receivers(traces, reports)
    _stack.wake()
    for name in sent_to:
        del _stack.env[name]
    _stack.restart(*ALL)
    traces.close()
    reports.stop()


class Browser:
    """A visitor of an event, with HTMX."""

    def __init__(self, stack: Stack, event: Event) -> None:
        self.client = httpx.Client(
            base_url=stack.url, timeout=20, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.event = f"/promo/{event.slug}/"
        self.step = f"{self.event}-"

    def hidden_fields(self, path: str) -> dict[str, str]:
        html = self.client.get(path).text
        return dict(re.findall(r'name="(csrfmiddlewaretoken|step)" value="([^"]*)"', html))

    def give_phone(self) -> str:
        """Give the phone, and return the address of the next step."""
        data = self.hidden_fields(self.event) | {"country": "PT", "phone": PHONE}
        response = self.client.post(f"{self.step}/phone/", data=data)
        return str(response.headers["location"])

    def register(self) -> httpx.Response:
        data = self.hidden_fields(self.give_phone()) | PERSON
        return self.client.post(f"{self.step}/register/", data=data, headers={"HX-Request": "true"})


def personal_in(text: str, *more: str) -> list[str]:
    """Return what is in a text about the person of these tests."""
    return [word for word in (*PERSONAL, *more) if word and word.casefold() in text.casefold()]


@contextmanager
def failing_insert(table: str) -> Iterator[None]:
    """Have each new row of a table fail with an error whose text is the row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE EXCEPTION 'a bad row: %', NEW; END $$;"
            f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION fail CASCADE")


def only(spans: list[ReceivedSpan], name: str, **attributes: str) -> ReceivedSpan:
    found = []
    for span in spans:
        if span.name == name and attributes.items() <= span.attributes.items():
            found.append(span)
    assert len(found) == 1, (name, [each.name for each in spans])
    return found[0]


def received(receivers: Receivers, ids: tuple[str, ...]) -> list[ReceivedSpan]:
    """Wait for spans, and return them."""

    def found() -> list[ReceivedSpan]:
        return [span for span in receivers.traces.spans() if span.span_id in ids]

    wait_for(lambda: len(found()) == len(ids), 20)
    return found()


def test_a_trace_goes_from_the_form_to_the_email(stack: Stack, receivers: Receivers) -> None:
    browser = Browser(stack, make_event())
    ticket = browser.register().headers["hx-push-url"]
    wait_for(lambda: Email.objects.filter(kind="qr_code", state="sent").exists(), 30)
    browser.client.get(ticket)
    request = GuestRequest.objects.get()
    trace_id = request.traceparent[3:35]

    def trace() -> list[ReceivedSpan]:
        return [span for span in receivers.traces.spans() if span.trace_id == trace_id]

    wait_for(lambda: [span.name for span in trace()].count("send email") == 2, 20)
    # Each process sends its spans at a time of its own.
    form_name = "POST promo/<event:event>/<promoter:promoter>/register/"
    expected = {form_name, "create guest", "push"}
    wait_for(lambda: expected <= {span.name for span in trace()}, 20)
    form = only(trace(), form_name)
    assert (form.process, form.parent_id) == ("web", "")
    assert form.attributes["http.response.status_code"] == 200
    assert form.attributes["http.route"] == "promo/<event:event>/<promoter:promoter>/register/"
    guest = only(trace(), "create guest")
    assert (guest.process, guest.parent_id) == ("worker", form.span_id)
    push = only(trace(), "push")
    assert (push.process, push.parent_id) == ("worker", guest.span_id)
    welcome = only(trace(), "send email", **{"snap.kind": "welcome"})
    assert (welcome.process, welcome.parent_id) == ("emails", form.span_id)
    code = only(trace(), "send email", **{"snap.kind": "qr_code", "snap.result": "SENT"})
    assert (code.process, code.parent_id) == ("emails", guest.span_id)
    # Queries of the form are its children, in PostgreSQL and in Redis.
    systems = {
        span.attributes["db.system.name"]
        for span in trace()
        if span.parent_id == form.span_id and "db.system.name" in span.attributes
    }
    assert systems == {"postgresql", "redis"}
    # The batch is a trace of its own, linked both ways, in the task of Celery.
    (batch,) = received(receivers, guest.linked_to)
    assert (batch.name, batch.process) == ("create guests", "worker")
    assert guest.span_id in batch.linked_to
    (task,) = received(receivers, (batch.parent_id,))
    assert task.name == "run/guests.tasks.create_guests"
    assert receivers.traces.headers[0]["authorization"] == "Bearer only-for-tests"


def test_no_trace_has_anything_of_a_person(stack: Stack, receivers: Receivers) -> None:
    """What a visitor types, gets and could send by mistake or on purpose."""
    event = make_event()
    browser = Browser(stack, event)
    browser.register()
    wait_for(lambda: Guest.objects.exists(), 20)
    guest = Guest.objects.get()
    token = str(guest.qr_token)
    client = browser.client
    client.get(f"/guest/{token}")
    client.get(f"/guest/{token}/image.png")
    client.get(f"/961234567/{PERSON['email']}/", params={"q": "Zambujal", "phone": "+351961234567"})
    client.get(browser.event, headers={"Referer": f"{stack.url}/guest/{token}"})
    client.request("ZAMBUJAL", "/promo/")
    client.get("/admin/", params={"q": PERSON["email"]})
    client.get("/promo/", headers={"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"})
    session = client.cookies["session"]
    Browser(stack, event).give_phone()
    wait_for(lambda: LoginCode.objects.exists(), 20)
    digits = LoginCode.objects.get().digits()
    other = Browser(stack, event)
    hidden = other.hidden_fields(other.give_phone())
    other.client.post(f"{other.step}/code/", data=hidden | {"code": digits})
    with failing_insert("accounts_user"):
        broken = Browser(stack, make_event())
        broken.client.post(
            "/api/client-auth/register",
            json={"firstName": "Quitéria", "lastName": "Zambujal", "phone": "+351961234999"},
        )
    client.get("/promo/the-last-one/")
    wait_for(lambda: receivers.traces.named("GET promo/<event:event>/"), 20)
    text = "\n".join([repr(span) for span in receivers.traces.spans()] + [receivers.traces.text()])
    assert personal_in(text, token, digits, session, "961234999", "abababab") == []
    invented = [span for span in receivers.traces.spans() if "ZAMBUJAL" in span.name]
    assert invented == []


def reports_of(receivers: Receivers, process: str) -> list[dict[str, Any]]:
    found = []
    for event in receivers.reports.events():
        if event["tags"]["process"] == process:
            found.append(event)
    return found


def types_in(event: dict[str, Any]) -> list[str]:
    return [value["type"] for value in event["exception"]["values"]]


def test_errors_of_one_way_are_reported_with_its_trace(stack: Stack, receivers: Receivers) -> None:
    event = make_event()
    browser = Browser(stack, event)
    with failing_insert("accounts_user"):
        assert browser.register().status_code == 500
    with failing_insert("guests_guest"):
        browser.register()
        wait_for(lambda: reports_of(receivers, "worker"), 30)
    request = GuestRequest.objects.get()
    (in_worker,) = reports_of(receivers, "worker")
    assert in_worker["tags"]["request_id"] == request.request_id
    assert in_worker["tags"]["ticket_id"] == str(request.ticket_id)
    assert in_worker["contexts"]["trace"]["trace_id"] == request.traceparent[3:35]
    assert in_worker["release"] == "a release"
    (in_web,) = wait_for(lambda: reports_of(receivers, "web"), 20)
    assert in_web["tags"]["route"] == "promo/<event:event>/<promoter:promoter>/register/"
    assert in_web["tags"]["http.method"] == "POST"
    trace_id = in_web["contexts"]["trace"]["trace_id"]
    wait_for(lambda: [each for each in receivers.traces.spans() if each.trace_id == trace_id], 20)
    spans = [each for each in receivers.traces.spans() if each.trace_id == trace_id]
    form = only(spans, "POST promo/<event:event>/<promoter:promoter>/register/")
    assert form.is_error
    assert form.attributes["error.type"] == "ProgrammingError"
    for report in (in_web, in_worker):
        assert "RaiseException" in types_in(report)
        frames = report["exception"]["values"][-1]["stacktrace"]["frames"]
        assert frames
        assert personal_in(json.dumps(report, ensure_ascii=False)) == []


def test_each_kind_of_process_reports_its_errors(stack: Stack, receivers: Receivers) -> None:
    event = make_event()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE guests_event RENAME capacity TO size")
    try:
        response = httpx.get(f"{stack.url}/promo/{event.slug}/", params={"phone": PHONE})
        assert response.status_code == 500
        with pytest.raises(subprocess.CalledProcessError):
            stack.manage("pregenerate_qr", event.slug, "1")
        for process in ("web", "sweeper", "command"):
            wait_for(lambda process=process: reports_of(receivers, process), 30)  # type: ignore[misc]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE guests_event RENAME size TO capacity")
    for report in receivers.reports.events():
        assert personal_in(json.dumps(report, ensure_ascii=False)) == []
