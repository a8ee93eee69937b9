"""Lines of the log as JSON with the fields of the Elastic Common Schema (LOG_FORMAT=ecs)."""

import json
import logging
import socket
import time
from typing import Any

from ecs_logging import StdlibFormatter

from snap.metering.processes import process_name
from snap.observability.logs import (
    LONGEST_TEXT,
    SEARCHED_TEXT,
    fields_of,
    is_ours,
    text_of,
    traceback_of,
)
from snap.observability.redaction import hide_in_error

ECS_VERSION = "1.6.0"  # of ecs_logging
# Fields of the schema for our own fields. All others are below `snap`.
FIELDS = {
    "request_id": ("http", "request", "id"),
    "method": ("http", "request", "method"),
    "status": ("http", "response", "status_code"),
    "path": ("url", "path"),
    "error": ("error", "message"),
}

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class EcsFormatter(StdlibFormatter):
    """Formats a record as ecs_logging does, in a fifth of its time: it logs every request.

    Our fields have the names of the schema where it has one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hostname = socket.gethostname()
        self.process = process_name()
        # Threads read both at once.
        self.last_second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        return _encode(self.format_to_ecs(record))

    def format_to_ecs(self, record: logging.LogRecord) -> dict[str, Any]:
        text = text_of(record)
        line: dict[str, Any] = {
            "@timestamp": self.timestamp_of(record),
            "log.level": record.levelname.lower(),
            "message": text,
            "ecs.version": ECS_VERSION,
            "log": {"logger": record.name},
            "service": {"name": "snap", "node": {"name": self.hostname}},
            "process": {"name": self.process, "pid": record.process},
        }
        if is_ours(record) and " " not in text:
            line["event"] = {"action": text}
        own = fields_of(record)
        if record.name == "snap.requests":
            line["message"] = f"{own['method']} {own['path']} {own['status']}"
        if (milliseconds := own.pop("duration_ms", None)) is not None:
            line.setdefault("event", {})["duration"] = round(float(str(milliseconds)) * 1_000_000)
        if traceparent := own.pop("traceparent", ""):
            line["trace"] = {"id": str(traceparent)[3:35]}
        for key, value in own.items():
            _put(line, FIELDS.get(key) or ("snap", key), value)
        if stack := traceback_of(record):
            _put(line, ("error", "stack_trace"), stack)
            _describe_error(line["error"], record)
        return line

    def timestamp_of(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        known, text = self.last_second
        if second != known:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self.last_second = (second, text)
        return f"{text}.{int(record.msecs):03d}Z"


def _describe_error(error: dict[str, Any], record: logging.LogRecord) -> None:
    if record.exc_info and record.exc_info[0] is not None:
        error["type"] = record.exc_info[0].__name__
        text = str(record.exc_info[1])[:SEARCHED_TEXT]
        error["message"] = hide_in_error(error["type"], text)[:LONGEST_TEXT]


def _put(line: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    *parents, name = path
    place = line
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
