"""Sends spans to the receiver of OTEL_EXPORTER_OTLP_ENDPOINT, without anything about a person.

Instrumentation packages put into spans what they see: addresses of pages, queries, texts of errors.
So only the attributes in KEPT leave this process, queries without their values, and errors as the
name of their class.

Runs in the thread that sends spans. A receiver that is away, slow or wrong costs the spans and one
log line.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from time import monotonic

import requests
from django.conf import settings
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import AttributeValue

from snap.resilience.http_sessions import limit_responses

log = logging.getLogger(__name__)

# Seconds for one batch, with all tries, and for all batches of a process that ends.
EXPORT_SECONDS = 3.0
# The path of the receiver for traces (OTLP over HTTP).
TRACES_PATH = "/v1/traces"
# Characters of a query.
MAX_QUERY = 2_000

QUERIES = frozenset({"db.query.text", "db.statement"})
KEPT = QUERIES | {
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "error.type",
    "db.system.name",
    "db.system",
    "db.namespace",
    "db.operation.name",
    "db.redis.args_length",
    "db.redis.pipeline_length",
    "server.address",
    "server.port",
    "network.peer.address",
    "network.peer.port",
    "celery.action",
    "celery.state",
    "celery.task_name",
    "messaging.destination",
    "messaging.message.id",
}
# Attributes of our own spans begin so.
OWN = "snap."

# Values in a statement of SQL: texts, also with a dollar sign, and numbers.
_VALUES = re.compile(
    r"[EeBbXx]?'(?:[^'\\]|''|\\.)*'?|\$(\w*)\$.*?(?:\$\1\$|$)|(?<![\w%$.])\d+(?:\.\d+)?", re.DOTALL
)

Attributes = Mapping[str, AttributeValue]


class RedactingExporter(SpanExporter):
    """Sends spans, redacted. Logs a failure once, until it is over."""

    def __init__(self, seconds: float = EXPORT_SECONDS) -> None:
        self.seconds = seconds
        session = requests.Session()
        limit_responses(session)
        self.exporter = OTLPSpanExporter(
            endpoint=settings.OTEL_EXPORTER_OTLP_ENDPOINT + TRACES_PATH,
            headers=settings.OTEL_EXPORTER_OTLP_HEADERS,
            timeout=seconds,
            compression=Compression.Gzip,
            session=session,
        )
        self.is_failing = False
        self.stop_at = float("inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if monotonic() > self.stop_at:
            return SpanExportResult.FAILURE
        result = self.exporter.export([redacted(span) for span in spans])
        self.log_change(result is SpanExportResult.FAILURE)
        return result

    def log_change(self, is_failing: bool) -> None:
        if is_failing and not self.is_failing:
            log.warning("traces_not_sent", extra={"receiver": receiver_name()})
        elif self.is_failing and not is_failing:
            log.info("traces_sent_again", extra={"receiver": receiver_name()})
        self.is_failing = is_failing

    def hurry(self) -> None:
        """Begin no batch after EXPORT_SECONDS from now: the process ends."""
        self.stop_at = monotonic() + self.seconds

    def shutdown(self) -> None:
        self.exporter.shutdown()  # type: ignore[no-untyped-call]


def receiver_name() -> str:
    return settings.OTEL_EXPORTER_OTLP_ENDPOINT.partition("://")[2]


def redacted(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of a span without anything about a person."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_kept(span.attributes or {}),
        events=[_redacted_event(event) for event in span.events],
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        # The description of a status is the text of an error.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _kept(attributes: Attributes) -> Attributes:
    kept: dict[str, AttributeValue] = {}
    for name, value in attributes.items():
        if name in QUERIES:
            kept[name] = without_values(str(value))
        elif name in KEPT or name.startswith(OWN):
            kept[name] = value
    return kept


def _redacted_event(event: Event) -> Event:
    kept: dict[str, AttributeValue] = {}
    if event.attributes and "exception.type" in event.attributes:
        kept["exception.type"] = event.attributes["exception.type"]
    return Event(event.name, kept, event.timestamp)


def without_values(statement: str) -> str:
    """Return a statement of SQL with `?` for its texts and numbers."""
    return _VALUES.sub("?", statement)[:MAX_QUERY]
