"""Traces: what one request of a visitor caused, from the web process to the email.

This module is what the code calls. OpenTelemetry is imported only in a process that has called
`start` while OTEL_EXPORTER_OTLP_ENDPOINT is set. Without it each function here takes under 1 µs.

A trace continues in other processes by the `traceparent` that rows of requests and emails store.
Wake-ups carry none: one of them stands for many rows.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from django.conf import settings

from snap.local_cache import on_reset

if TYPE_CHECKING:
    from snap.observability.spans import Spans


class HasTrace(Protocol):
    """A row that stores the trace which it belongs to, "" for none (W3C's `traceparent`)."""

    traceparent: str


class _Process:
    """The state of this process."""

    spans: "Spans | None" = None


# Attributes have the stable names of OpenTelemetry's conventions, not those of 2020.
STABLE_NAMES = "http,database"
# One object for all blocks without a span.
NO_SPAN: AbstractContextManager[None] = nullcontext()


def start(*, runs_tasks: bool = False) -> None:
    """Record traces in this process, if the settings say so. `runs_tasks` is for Celery's workers.

    Call it after a fork, and before the first connection to PostgreSQL and Redis.
    """
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT or _Process.spans is not None:
        return
    make_importable()
    from snap.observability.instruments import instrument
    from snap.observability.spans import Spans

    _Process.spans = Spans()
    instrument(_Process.spans.provider, runs_tasks=runs_tasks)


def prepare() -> None:
    """Import what `start` needs, if the settings say so. Starts no thread."""
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        make_importable()
        import_module("snap.observability.instruments")
        import_module("snap.observability.spans")


def make_importable() -> None:
    """Let this process import OpenTelemetry, which snap/__init__.py prevents."""
    if sys.modules.get("opentelemetry", sys) is None:
        del sys.modules["opentelemetry"]
    # Its packages read it when they are imported.
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = STABLE_NAMES


def stop() -> None:
    """Send what is recorded, for some seconds at most, and record no more."""
    spans = _Process.spans
    if spans is not None:
        _Process.spans = None
        spans.stop()


def current() -> "Spans | None":
    """Return what records the spans of this process, None without traces."""
    return _Process.spans


def span(name: str, **attributes: str | int) -> AbstractContextManager[None]:
    """Record a block as a span of the present trace, or of a new one.

    Attributes are counts, ids and words of the code, never what a person has typed.
    """
    spans = _Process.spans
    if spans is None:
        return NO_SPAN
    return spans.span(name, attributes)


def annotate(**attributes: str | int) -> None:
    """Add attributes to the present span."""
    spans = _Process.spans
    if spans is not None:
        spans.annotate(attributes)


def continuing(name: str, traceparent: str, *, link: str = "") -> AbstractContextManager[None]:
    """Record a block as a span of the trace that a row stores. `link` is of a related span."""
    spans = _Process.spans
    if spans is None or not traceparent:
        return NO_SPAN
    return spans.continuing(name, traceparent, link)


def continuing_each(name: str, rows: Sequence[HasTrace]) -> AbstractContextManager[None]:
    """Record a block that works on many rows: one span in the trace of each row that has one.

    Each span is linked to the present one. In memory, each row then belongs to its span, so that
    what the block causes continues there.
    """
    spans = _Process.spans
    if spans is None:
        return NO_SPAN
    return spans.continuing_each(name, rows)


def current_traceparent() -> str:
    """Return the present span as W3C's `traceparent`, "" if it is not recorded."""
    spans = _Process.spans
    return "" if spans is None else spans.traceparent()


def current_trace_id() -> str:
    """Return the id of the present trace in 32 hexadecimal digits, "" if it is not recorded."""
    return current_traceparent()[3:35]


on_reset(stop)
