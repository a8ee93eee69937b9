"""What a report of an error has: no text that could be about a person.

A report is built from nothing but the parts that are known to be harmless. The text of an exception
is kept for classes whose texts are about code. Of others their codes are kept: a database error has
the value of a column in its text, a mail error an address, a KeyError whatever was looked for.
"""

import logging
import re
from collections.abc import Iterator
from typing import Any

from sentry_sdk.types import Event, Hint

from snap.metering.processes import process_name
from snap.observability.context import LogContext, current
from snap.observability.redaction import hide_secrets
from snap.observability.request_log import known_method
from snap.observability.tracing import current_traceparent

# Parts of an event that Sentry's package fills without data of requests.
KEPT = (
    "event_id",
    "timestamp",
    "platform",
    "level",
    "logger",
    "environment",
    "release",
    "server_name",
    "sdk",
)
KEPT_OF_EXCEPTION = ("type", "module", "mechanism", "stacktrace")
# Errors whose texts name parts of the code.
ABOUT_CODE = (
    ArithmeticError,
    AttributeError,
    ImportError,
    IndexError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
)
OUR_LOGGERS = ("accounts", "guests", "notifications", "promo", "snap")
# What could be a phone, a code or an email, in a text where none should be.
_PERSONAL = re.compile(r"\S+@\S+|\+?\d(?:[\d ()./-]*\d){4,}")
# Attributes of each record, and those that are tags of a report.
NOT_FIELDS = frozenset(
    {*vars(logging.makeLogRecord({})), *LogContext._fields, "message", "asctime", "taskName"}
)


def reduced_event(event: Event, hint: Hint) -> Event:
    """Return an event that names the error, its place and its request, and no person."""
    record = hint.get("log_record")
    error = error_of(record, hint)
    reduced: dict[str, Any] = {name: event[name] for name in KEPT if event.get(name)}  # type: ignore[literal-required]
    reduced["tags"] = tags_of(record)
    traceparent = current().traceparent or current_traceparent()
    if traceparent:
        _, trace_id, span_id, _ = traceparent.split("-")
        reduced["contexts"] = {"trace": {"trace_id": trace_id, "span_id": span_id}}
    if record is not None:
        reduced["logentry"] = {"message": message_of(record)}
        reduced["extra"] = fields_of(record)
    if error is not None:
        texts = {type(each).__name__: text_of(each) for each in chain_of(error)}
        values = event.get("exception", {}).get("values", [])
        reduced["exception"] = {"values": [reduced_exception(each, texts) for each in values]}
    return reduced  # type: ignore[return-value]


def error_of(record: logging.LogRecord | None, hint: Hint) -> BaseException | None:
    exc_info = hint.get("exc_info") or (record.exc_info if record is not None else None)
    return exc_info[1] if exc_info else None


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Return an error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def reduced_exception(value: Any, texts: dict[str, str]) -> dict[str, Any]:
    reduced = {name: value[name] for name in KEPT_OF_EXCEPTION if value.get(name)}
    reduced["value"] = texts.get(value.get("type", ""), "")
    return reduced


def text_of(error: BaseException) -> str:
    """Return the text of an error about code, and the codes of another one."""
    if isinstance(error, ABOUT_CODE):
        return masked(str(error))
    diagnostics = getattr(error, "diag", None)
    codes = (
        getattr(error, "smtp_code", None),
        getattr(error, "status_code", None),
        getattr(error, "errno", None),
        getattr(error, "sqlstate", None),
        getattr(diagnostics, "table_name", None),
        getattr(diagnostics, "constraint_name", None),
    )
    return " ".join(str(code) for code in codes if isinstance(code, (int, str)) and code)


def message_of(record: logging.LogRecord) -> str:
    """Return the event of a record. Arguments are left out: only the event names the error."""
    if record.name == "django.request":
        return "a request failed"
    message = str(record.msg)
    if not record.name.startswith(OUR_LOGGERS):
        # What follows the first line is data: tasks, futures, tracebacks.
        message = message.strip().partition("\n")[0]
    return masked(message)


def fields_of(record: logging.LogRecord) -> dict[str, str | int | float]:
    """Return the ids and words that our own code adds to a record."""
    if not record.name.startswith(OUR_LOGGERS):
        return {}
    fields = {}
    for name, value in vars(record).items():
        if name in NOT_FIELDS or not isinstance(value, (int, float, str)):
            continue
        fields[name] = masked(value) if isinstance(value, str) else value
    return fields


def tags_of(record: logging.LogRecord | None) -> dict[str, str]:
    """Return by what staff search: the process, the route, the request and the ticket."""
    request = getattr(record, "request", None)
    match = getattr(request, "resolver_match", None)
    tags = {
        "process": process_name(),
        "route": getattr(match, "route", ""),
        "http.method": known_method(getattr(request, "method", "") or ""),
        "request_id": current().request_id,
        "ticket_id": current().ticket_id,
    }
    return {name: value for name, value in tags.items() if value}


def masked(text: str) -> str:
    """Return a text without tokens, and without what could be a phone, a code or an email."""
    return _PERSONAL.sub("[hidden]", hide_secrets(text))
