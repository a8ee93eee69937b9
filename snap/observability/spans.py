"""Spans of OpenTelemetry: which are recorded, and how they reach the receiver.

Imported only by `tracing.start`. A span is recorded when its trace is: the process in which a trace
begins decides that for all others.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import util

from django.conf import settings
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from snap.metering.processes import process_name
from snap.observability.span_export import OWN, RedactingExporter
from snap.observability.tracing import HasTrace

# Spans that wait to be sent. More are dropped.
MAX_WAITING = 4096
MAX_BATCH = 512
# Milliseconds between two batches. What a killed process has recorded since the last one is lost.
SEND_INTERVAL = 1_000

Attributes = Mapping[str, str | int]
_propagator = TraceContextTextMapPropagator()


class RootSampler(Sampler):
    """Samples new traces. A query or a message is no trace of its own.

    Threads ask the database and Redis all the time, also while nobody is there.
    """

    def __init__(self, share: float) -> None:
        self.by_share = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: object = None,
        links: object = None,
        trace_state: object = None,
    ) -> SamplingResult:
        if kind in {SpanKind.CLIENT, SpanKind.PRODUCER}:
            return SamplingResult(Decision.DROP)
        return self.by_share.should_sample(parent_context, trace_id, name)

    def get_description(self) -> str:
        return f"RootSampler({self.by_share.rate})"


class Spans:
    """Records and sends the spans of one process."""

    def __init__(self) -> None:
        self._exporter = RedactingExporter()
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=MAX_WAITING,
            schedule_delay_millis=SEND_INTERVAL,
            max_export_batch_size=MAX_BATCH,
        )
        self.provider = TracerProvider(
            sampler=ParentBased(RootSampler(settings.OTEL_TRACES_SAMPLER_ARG)),
            resource=Resource(resource_attributes()),
            shutdown_on_exit=False,
        )
        self.provider.add_span_processor(self._processor)
        self._tracer = self.provider.get_tracer("snap")
        self._stop_at_exit()

    def _stop_at_exit(self) -> None:
        """Send the last spans when this process ends, also as a child of multiprocessing."""
        # The workers of granian are such children, which end without `atexit`.
        util.Finalize(None, self.stop, exitpriority=1)

    def stop(self) -> None:
        self._exporter.hurry()
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[None]:
        with self._tracer.start_as_current_span(name, attributes=own(attributes)):
            yield

    @staticmethod
    def annotate(attributes: Attributes) -> None:
        trace.get_current_span().set_attributes(own(attributes))

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """Record a request of HTTP. Its caller names the span when the route is known.

        A request that is not recorded costs its queries nothing.
        """
        parent = Context()
        if settings.OTEL_TRUST_TRACEPARENT:
            parent = _propagator.extract(headers, Context())
        with self._tracer.start_as_current_span(method, parent, SpanKind.SERVER) as span:
            if span.is_recording():
                yield span
            else:
                with suppress_instrumentation():
                    yield span

    @contextmanager
    def continuing(self, name: str, traceparent: str, link: str) -> Iterator[None]:
        links = [Link(span_context_of(link))] if link else []
        parent = context_of(traceparent)
        with self._tracer.start_as_current_span(name, parent, SpanKind.CONSUMER, links=links):
            yield

    @contextmanager
    def continuing_each(self, name: str, rows: Sequence[HasTrace]) -> Iterator[None]:
        batch = trace.get_current_span()
        link = Link(batch.get_span_context())
        with ExitStack() as spans:
            for row in rows:
                if row.traceparent:
                    span = self._tracer.start_span(
                        name, context_of(row.traceparent), SpanKind.CONSUMER, links=[link]
                    )
                    batch.add_link(span.get_span_context())
                    row.traceparent = traceparent_of(span)
                    spans.enter_context(trace.use_span(span, end_on_exit=True))
            with trace.use_span(batch, record_exception=False, set_status_on_exception=False):
                yield

    @staticmethod
    def mark_failed(span: Span) -> None:
        span.set_status(StatusCode.ERROR)

    def traceparent(self) -> str:
        return traceparent_of(trace.get_current_span())


def own(attributes: Attributes) -> Attributes:
    """Return attributes under the names of ours, which leave this process as they are."""
    return {OWN + name: value for name, value in attributes.items()}


def resource_attributes() -> dict[str, str]:
    """Return what describes this process to the receiver."""
    host, process = socket.gethostname(), process_name()
    return {
        "service.name": settings.OTEL_SERVICE_NAME,
        "service.instance.id": f"{host}/{process}",
        "host.name": host,
        "process.executable.name": process,
    } | settings.OTEL_RESOURCE_ATTRIBUTES


def traceparent_of(span: Span) -> str:
    """Return a span as W3C's `traceparent`, "" if it is not recorded."""
    context = span.get_span_context()
    if not context.trace_flags & TraceFlags.SAMPLED:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def context_of(traceparent: str) -> Context:
    return _propagator.extract({"traceparent": traceparent}, Context())


def span_context_of(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(context_of(traceparent)).get_span_context()
