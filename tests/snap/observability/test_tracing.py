"""Traces: what is recorded, under which name, and how they go on in other processes."""

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpResponse
from django.test import Client, RequestFactory
from opentelemetry.trace import SpanKind
from pytest_django import Settings

from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.models import GuestRequest
from guests.requests.creating import create_due_guests
from notifications.models import Email
from notifications.sending import send_due_emails
from snap.local.processes import BASE_DIR
from snap.observability import tracing
from snap.observability.request_traces import TraceRequests, known_method
from tests.factories import make_account, make_event, make_request
from tests.helpers.journal import registration_entry
from tests.helpers.otlp import OtlpReceiver, ReceivedSpan
from tests.helpers.programs import program_environment
from tests.helpers.stack import wait_for

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = TRACEPARENT[3:35]


class Recording:
    """A process that records all traces. `spans` ends that, and returns what has arrived."""

    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def spans(self) -> list[ReceivedSpan]:
        tracing.stop()
        return self._receiver.spans()


@pytest.fixture
def recording(settings: Settings) -> Iterator[Recording]:
    from snap.observability.spans import Spans

    receiver = OtlpReceiver()
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = receiver.url
    settings.OTEL_TRACES_SAMPLER_ARG = 1.0
    # Without the instruments, which would stay in the process of the tests.
    tracing._Process.spans = Spans()
    yield Recording(receiver)
    tracing.stop()
    receiver.close()


# Off ----------------------------------------------------------------------------------------------

IMPORTS = """\
import sys
import django
django.setup()
import snap.wsgi, snap.asgi, snap.celery
snap.celery.app.loader.import_default_modules()
from celery.signals import celeryd_init, worker_process_init, worker_process_shutdown
celeryd_init.send(sender="worker@host")
worker_process_init.send(sender=None)
worker_process_shutdown.send(sender=None)
from guests.management.commands import sweeper
from snap.observability import error_reports, tracing
with tracing.span("a span"), tracing.continuing("a span", "00-1-2-01"):
    tracing.annotate(kind="welcome")
error_reports.report_error(ValueError())
packages = ("opentelemetry", "sentry_sdk")
print([name for name, module in sys.modules.items() if module and name.startswith(packages)])
"""


@pytest.mark.slow
@pytest.mark.django_db
def test_no_process_imports_the_packages_without_the_settings() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        cwd=BASE_DIR,
        env=program_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_without_the_setting_requests_have_no_middleware(settings: Settings) -> None:
    with pytest.raises(MiddlewareNotUsed):
        TraceRequests(lambda request: HttpResponse())


def test_without_the_setting_there_is_no_trace() -> None:
    rows = [SimpleNamespace(traceparent=TRACEPARENT)]
    with tracing.span("a span"), tracing.continuing_each("a span", rows):
        assert tracing.current_traceparent() == ""
        assert tracing.current_trace_id() == ""
    assert rows[0].traceparent == TRACEPARENT


# Requests of HTTP ---------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/promo/", "GET promo/"),
        ("/promo/nowhere/", "GET promo/<event:event>/"),
        ("/guest/a-token", "GET guest/<str:token>"),
        ("/+351961234567/rita@example.com", "GET"),
    ],
)
def test_a_request_is_named_by_its_route(
    client: Client, recording: Recording, path: str, name: str
) -> None:
    client.get(path)
    (span,) = recording.spans()
    assert span.name == name
    assert path not in repr(span) or path == "/promo/"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_supervisors_leave_no_traces(client: Client, recording: Recording, path: str) -> None:
    client.get(path)
    assert recording.spans() == []


def test_an_invented_method_is_no_name(rf: RequestFactory) -> None:
    assert known_method(rf.generic("RITA", "/")) == "_OTHER"
    assert known_method(rf.post("/")) == "POST"


def test_a_failed_request_has_the_class_of_its_error(
    rf: RequestFactory, recording: Recording
) -> None:
    request = rf.get("/")
    request.resolver_match = None

    def view(_request: object) -> HttpResponse:
        middleware.process_exception(request, KeyError("+351961234567"))
        return HttpResponse(status=500)

    middleware = TraceRequests(view)
    middleware(request)
    (span,) = recording.spans()
    assert span.is_error
    assert span.attributes["error.type"] == "KeyError"
    assert span.attributes["http.response.status_code"] == 500


@pytest.mark.django_db
@pytest.mark.parametrize("is_trusted", [False, True])
def test_a_visitor_decides_about_no_trace(
    client: Client, recording: Recording, settings: Settings, *, is_trusted: bool
) -> None:
    settings.OTEL_TRUST_TRACEPARENT = is_trusted
    client.get("/promo/", headers={"traceparent": TRACEPARENT})
    (span,) = recording.spans()
    assert (span.trace_id == TRACE_ID) is is_trusted


def test_a_request_that_is_not_recorded_has_no_traceparent(
    rf: RequestFactory, settings: Settings, recording: Recording
) -> None:
    from snap.observability.spans import Spans

    tracing.stop()
    settings.OTEL_TRACES_SAMPLER_ARG = 0.0
    tracing._Process.spans = Spans()
    seen = []

    def view(_request: object) -> HttpResponse:
        from opentelemetry.instrumentation.utils import is_instrumentation_enabled

        seen.append((tracing.current_traceparent(), is_instrumentation_enabled()))
        return HttpResponse()

    TraceRequests(view)(rf.get("/"))
    assert seen == [("", False)]
    assert recording.spans() == []


def test_a_query_without_a_request_is_no_trace(recording: Recording) -> None:
    spans = tracing.current()
    assert spans is not None
    tracer = spans.provider.get_tracer("test")
    for kind in (SpanKind.CLIENT, SpanKind.PRODUCER):
        tracer.start_span("SELECT", kind=kind).end()
    with tracing.span("a batch"):
        tracer.start_span("INSERT", kind=SpanKind.CLIENT).end()
    assert sorted(span.name for span in recording.spans()) == ["INSERT", "a batch"]


# Rows ---------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_batch_continues_the_trace_of_each_request(recording: Recording) -> None:
    event = make_event()
    first, second = make_request(event), make_request(event)
    untraced = make_request(event)
    traceparents = {
        first.pk: TRACEPARENT,
        second.pk: TRACEPARENT.replace("0af7", "1af7").replace("b7ad", "c7ad"),
        untraced.pk: "",
    }
    for pk, traceparent in traceparents.items():
        GuestRequest.objects.filter(pk=pk).update(traceparent=traceparent)
    create_due_guests()
    emails = Email.objects.filter(kind="qr_code").order_by("pk")
    stored = [email.traceparent for email in emails]
    spans = recording.spans()
    guests = [span for span in spans if span.name == "create guest"]
    assert {span.trace_id for span in guests} == {TRACE_ID, TRACE_ID.replace("0af7", "1af7")}
    assert {span.parent_id for span in guests} == {"b7ad6b7169203331", "c7ad6b7169203331"}
    (batch,) = [span for span in spans if span.name == "create guests"]
    assert {span.linked_to for span in guests} == {(batch.span_id,)}
    assert {span.span_id for span in guests} <= set(batch.linked_to)
    # Their emails belong to these spans. What the row stores is unchanged.
    assert {text[36:52] for text in stored if text} == {span.span_id for span in guests}
    assert stored.count("") == 1
    for pk, traceparent in traceparents.items():
        assert GuestRequest.objects.get(pk=pk).traceparent == traceparent


@pytest.mark.django_db(transaction=True)
def test_an_email_continues_the_trace_of_its_cause(recording: Recording) -> None:
    make_request(account=make_account())
    create_due_guests()
    Email.objects.update(traceparent=TRACEPARENT)
    send_due_emails(fast=False)
    wait_for(lambda: Email.objects.filter(state="sent").exists())
    spans = recording.spans()
    (email,) = [span for span in spans if span.name == "send email"]
    assert (email.trace_id, email.parent_id) == (TRACE_ID, TRACEPARENT[36:52])
    assert dict(email.attributes) == {
        "snap.kind": "qr_code",
        "snap.provider": "console",
        "snap.result": "SENT",
    }
    (batch,) = [span for span in spans if span.name == "send emails"]
    assert email.linked_to == (batch.span_id,)


@pytest.mark.django_db(transaction=True)
def test_a_request_of_an_outage_keeps_its_trace(recording: Recording) -> None:
    get_journal().accept(registration_entry(make_event(), traceparent=TRACEPARENT))
    assert drain(get_journal()) == 1
    assert GuestRequest.objects.get().traceparent == TRACEPARENT
    create_due_guests()
    guests = [span for span in recording.spans() if span.name == "create guest"]
    assert [span.trace_id for span in guests] == [TRACE_ID]


@pytest.mark.parametrize("wrong", ["x", "00-1-2-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_row_with_a_wrong_traceparent_is_no_error(recording: Recording, wrong: str) -> None:
    with tracing.continuing("a span", wrong, link=wrong):
        pass
    with tracing.continuing_each("a span", [SimpleNamespace(traceparent=wrong)]):
        pass
    assert [span.parent_id for span in recording.spans()] == ["", ""]


# The end ------------------------------------------------------------------------------------------


def test_the_last_spans_are_sent_when_a_process_ends(recording: Recording) -> None:
    with tracing.span("the last"):
        pass
    assert [span.name for span in recording.spans()] == ["the last"]
    tracing.stop()
    with tracing.span("too late"):
        pass
    assert [span.name for span in recording.spans()] == ["the last"]
