"""The lines of the log: their fields, their two formats, and what they never contain.

`LOG_FORMAT=plain` is for people, `LOG_FORMAT=ecs` for Elasticsearch: JSON with the fields of the
Elastic Common Schema. Both hide the same.
"""

import logging
import logging.config
import os
import re
import smtplib
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from snap.metering.processes import COMMAND, process_name
from snap.observability.context import NONE, current
from snap.observability.redaction import (
    hide_in_error,
    hide_in_traceback,
    hide_in_value,
    hide_personal_data,
    hide_values,
)

OURS = frozenset({"accounts", "guests", "notifications", "promo", "snap"})
# Characters of a traceback that a line has. Collectors of logs cut lines at 16 KiB.
LONGEST_TRACEBACK = 8_000
# Characters of a message or a field that a line has.
LONGEST_TEXT = 1_000
# Characters that are searched. The rest is cut afterwards, because half a phone is not found.
SEARCHED_TEXT = 2 * LONGEST_TEXT

_STANDARD_FIELDS = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
CONTEXT_FIELDS = ("request_id", "ticket_id", "traceparent")
_IDS = frozenset(CONTEXT_FIELDS)
# What SNAP makes, and paths, which snap.observability.request_log cleans: not searched for secrets.
_CLEAN = _IDS | {"inbox_name", "kind", "method", "path", "route", "state"}
# A warning of Python. A line of code follows.
_WARNING = re.compile(
    r"(?P<place>[^\n]+:\d+: (?P<kind>\w+Warning): )(?P<text>.*?)(?:\n  [^\n]*)?\n?", re.DOTALL
)
# Characters that end a line or control a terminal, so that values from users start no log line.
_CONTROLS = {0x2028: "\\u2028", 0x2029: "\\u2029"}
for _code in (*range(32), *range(127, 160)):
    _CONTROLS[_code] = f"\\x{_code:02x}"


class ContextFilter(logging.Filter):
    """Adds the ids of the request and the ticket that a line belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = current()
        if context is not NONE:
            fields = vars(record)
            for name, value in zip(CONTEXT_FIELDS, context, strict=True):
                if value:
                    fields.setdefault(name, value)
        return True


class OnlyErrors(logging.Filter):
    """Keeps what has a traceback: an error of our code, not a status."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info)


class NoSockets(logging.Filter):
    """Drops uvicorn's lines about each socket, which name the client's address."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        return "WebSocket" not in text and not text.startswith("connection ")


class LineHandler(logging.StreamHandler[Any]):
    """Writes lines to the standard error output."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say where a line came from that could not be written: its values may be private."""
        place = {"place": f"{record.module}:{record.lineno}"}
        event = {"name": __name__, "levelname": "ERROR", "msg": "log_line_failed"}
        failure = logging.makeLogRecord(event | place)
        with suppress(Exception):
            self.stream.write(self.format(failure) + self.terminator)


def is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in OURS


def text_of(record: logging.LogRecord) -> str:
    """Return the message of a record, which is the name of an event if it is ours."""
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 (arguments that do not fit their message)
        text = str(record.msg)
    text = text[:SEARCHED_TEXT]
    if is_ours(record):
        text = hide_in_value(text)
    elif warning := _WARNING.fullmatch(text):
        text = warning["place"] + hide_in_error(warning["kind"], warning["text"])
    else:
        text = hide_personal_data(text)
    return text[:LONGEST_TEXT]


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the extra fields of a record. Libraries' own are whole requests, and left out."""
    record_fields = vars(record)
    names = record_fields.keys() - _STANDARD_FIELDS
    if not is_ours(record):
        names &= _IDS
    fields: dict[str, object] = {}
    for name in record_fields:
        if name not in names:
            continue
        value = record_fields[name]
        if name not in _CLEAN and not isinstance(value, (int, float)) and value is not None:
            value = hide_in_value(str(value)[:SEARCHED_TEXT])[:LONGEST_TEXT]
        if value is not None:
            fields[name] = value
    return fields


def traceback_of(record: logging.LogRecord) -> str:
    """Return the traceback of a record without values, or an empty string.

    Any client can cause errors below 500 and "security" errors, so they have no traceback.
    """
    is_clients = record.name.startswith("django.security")
    if is_clients or getattr(record, "status_code", 500) < 500:
        return ""
    text = record.stack_info or ""
    if record.exc_info and record.exc_info[0] is not None:
        lines = traceback.format_exception(*record.exc_info)
        text = hide_in_traceback("".join(lines).rstrip("\n"))
    if len(text) > LONGEST_TRACEBACK:
        text = f"…{text[-LONGEST_TRACEBACK:]}"
    return text


class PlainFormatter(logging.Formatter):
    """Formats an event as one line: time, level, logger, event name, extra fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record)} {record.levelname} {record.name} {text_of(record)}"
        for key, value in fields_of(record).items():
            line += f" {key}={value}"
        line = line.translate(_CONTROLS)
        if error := traceback_of(record):
            line += f"\n{error}"
        return line


def make_formatter(kind: str = "plain") -> logging.Formatter:
    """Return the formatter of a LOG_FORMAT."""
    if kind == "ecs":
        # Not imported for the other format.
        from snap.observability.ecs import EcsFormatter

        return EcsFormatter()
    return PlainFormatter()


# Processes ---------------------------------------------------------------------------------------


def configure(config: dict[str, Any]) -> None:
    """Configure logging, and have it report what would be written to the standard error output.

    Django calls this with the setting LOGGING.
    """
    logging.config.dictConfig(config)
    logging.captureWarnings(capture=True)
    hide_values(settings.SECRET_VALUES)
    if process_name() != COMMAND or os.environ.get("LOG_FORMAT") == "ecs":
        report_uncaught_errors()


def report_uncaught_errors() -> None:
    """Log uncaught errors: Python would write their texts as they are, in many lines."""
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


log = logging.getLogger("snap.process")


def _log_uncaught(kind: type[BaseException], error: BaseException, tb: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, tb)
        return
    log.critical("uncaught_error", exc_info=(kind, error, tb))


def _log_uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None and not issubclass(failure.exc_type, SystemExit):
        error = (failure.exc_type, failure.exc_value, failure.exc_traceback)
        log.error("thread_failed", exc_info=error)


def _log_unraisable(failure: Any) -> None:
    if failure.exc_value is not None:
        error = (failure.exc_type, failure.exc_value, failure.exc_traceback)
        log.error("error_ignored", exc_info=error)


def describe_error(error: Exception) -> str:
    """Return an error's class and location without its text: `SMTPDataError 554 (smtplib.py:887)`.

    A mail or HTTP error also has its status, a database error the name of the violated constraint.
    The text is left out because it could contain personal data.
    """
    status = getattr(error, "smtp_code", None) or getattr(error, "status_code", None) or ""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        status = max(code for code, _ in error.recipients.values())
    diagnostics = getattr(error.__cause__, "diag", None)
    constraint = getattr(diagnostics, "constraint_name", None)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"({Path(frame.filename).name}:{frame.lineno})"
    parts = (type(error).__name__, status, constraint, where)
    return " ".join(str(part) for part in parts if part)
