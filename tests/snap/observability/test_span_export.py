"""Spans leave a process without anything about a person, and no receiver holds it up."""

import logging
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Status, StatusCode
from pytest_django import Settings

from snap.local.embedded import free_port
from snap.observability.span_export import RedactingExporter, redacted, without_values
from tests.helpers import otlp
from tests.helpers.otlp import OtlpReceiver
from tests.helpers.stack import wait_for

# Seconds that the exporter of these tests has.
SECONDS = 0.3
# A machine that is busy takes longer than it should, but a stuck export takes for ever.
FAR_TOO_LONG = 30.0
PHONE = "+351961234567"


@pytest.fixture
def receiver(settings: Settings) -> Iterator[OtlpReceiver]:
    running = OtlpReceiver()
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = running.url
    yield running
    running.close()


def recorded(name: str = "a span", **attributes: Any) -> ReadableSpan:
    with (
        TracerProvider(shutdown_on_exit=False)
        .get_tracer("test")
        .start_as_current_span(name, attributes=attributes) as span
    ):
        pass
    assert isinstance(span, ReadableSpan)
    return span


def test_a_span_arrives(receiver: OtlpReceiver) -> None:
    exporter = RedactingExporter()
    assert exporter.export([recorded(**{"http.route": "promo/"})]) is SpanExportResult.SUCCESS
    (span,) = receiver.spans()
    assert (span.name, dict(span.attributes)) == ("a span", {"http.route": "promo/"})
    assert receiver.paths == ["/v1/traces"]
    exporter.shutdown()


@pytest.mark.parametrize(
    "behave",
    [otlp.refuse, otlp.overloaded, otlp.hang, otlp.drip, otlp.break_off],
    ids=lambda behave: behave.__name__,
)
def test_a_receiver_that_is_not_well_costs_the_spans_and_one_line(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture, behave: Any
) -> None:
    caplog.set_level(logging.INFO, "snap")
    receiver.behave = behave
    exporter = RedactingExporter(SECONDS)
    began = monotonic()
    for _ in range(3):
        assert exporter.export([recorded()]) is SpanExportResult.FAILURE
    assert monotonic() - began < FAR_TOO_LONG
    receiver.behave = otlp.accept
    wait_for(lambda: exporter.export([recorded()]) is SpanExportResult.SUCCESS, FAR_TOO_LONG)
    events = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert events == ["traces_not_sent", "traces_sent_again"]
    exporter.shutdown()


def test_a_receiver_that_is_away_costs_the_spans_and_one_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    exporter = RedactingExporter(SECONDS)
    for _ in range(3):
        assert exporter.export([recorded()]) is SpanExportResult.FAILURE
    assert [record.getMessage() for record in caplog.records] == ["traces_not_sent"]
    exporter.shutdown()


def test_a_process_that_ends_begins_no_batch_after_its_time(receiver: OtlpReceiver) -> None:
    exporter = RedactingExporter(seconds=0.05)
    exporter.hurry()
    sleep(0.06)
    assert exporter.export([recorded()]) is SpanExportResult.FAILURE
    assert receiver.paths == []
    exporter.shutdown()


def test_only_listed_attributes_leave_the_process() -> None:
    harmless: dict[str, Any] = {
        "http.request.method": "GET",
        "http.route": "promo/<event:event>/",
        "http.response.status_code": 200,
        "snap.event_id": 7,
        "db.system.name": "postgresql",
    }
    personal: dict[str, Any] = {
        "url.full": f"https://snap.example/promo/?phone={PHONE}",
        "url.path": "/guest/token",
        "url.query": f"phone={PHONE}",
        "http.url": "https://snap.example/guest/token",
        "http.target": "/guest/token",
        "http.user_agent": "a browser",
        "user_agent.original": "a browser",
        "client.address": "198.51.100.7",
        "net.peer.ip": "198.51.100.7",
        "http.request.header.cookie": ["session=secret"],
        "db.statement.parameters": f"('{PHONE}',)",
        "db.query.parameter.phone": PHONE,
        "enduser.id": "rita@example.com",
        "exception.message": PHONE,
        "snapshot": PHONE,
    }
    both: dict[str, Any] = harmless | personal
    span = redacted(recorded(**both))
    assert dict(span.attributes or {}) == harmless


def test_errors_leave_the_process_as_the_names_of_their_classes() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with pytest.raises(KeyError), tracer.start_as_current_span("a span") as span:
        raise KeyError(PHONE)
    span.set_status(Status(StatusCode.ERROR, f"KeyError: {PHONE}"))
    assert isinstance(span, ReadableSpan)
    assert PHONE in span.to_json()
    sent = redacted(span)
    assert sent.status.status_code is StatusCode.ERROR
    assert dict(sent.events[0].attributes or {}) == {"exception.type": "KeyError"}
    assert PHONE not in sent.to_json()


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        ("SELECT 1", "SELECT ?"),
        ("SELECT %s, %(phone)s, $1 FROM t1", "SELECT %s, %(phone)s, $1 FROM t1"),
        ("WHERE phone = '+351961234567'", "WHERE phone = ?"),
        ("WHERE name = 'O''Neill' AND x", "WHERE name = ? AND x"),
        (r"WHERE name = E'O\'Neill' AND x", "WHERE name = ? AND x"),
        ("WHERE name = $$Rita$$ AND x", "WHERE name = ? AND x"),
        ("WHERE name = $q$Ri$$ta$q$ AND x", "WHERE name = ? AND x"),
        ("WHERE name = 'Rita", "WHERE name = ?"),
        ("WHERE phone = 351961234567 LIMIT 10", "WHERE phone = ? LIMIT ?"),
        ("WHERE x > 1.5 AND y IN (1,2)", "WHERE x > ? AND y IN (?,?)"),
        ('SELECT "guests_guest"."id" FROM a_2', 'SELECT "guests_guest"."id" FROM a_2'),
    ],
)
def test_statements_are_sent_without_their_values(statement: str, sent: str) -> None:
    assert without_values(statement) == sent


def test_a_long_statement_is_cut() -> None:
    assert len(without_values("SELECT a " * 10_000)) == 2_000
