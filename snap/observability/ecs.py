"""Lines of the log as JSON with the fields of the Elastic Common Schema (LOG_FORMAT=ecs)."""

import json
import logging
import socket
import time
from typing import Any

from ecs_logging import StdlibFormatter

from snap.metering.processes import process_name
from snap.observability.logs import fields_of, is_ours, text_of, traceback_of
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
        self._hostname = socket.gethostname()
        self._process = process_name()
        self._second = 0
        self._time = ""

    def format(self, record: logging.LogRecord) -> str:
        return _encode(self.format_to_ecs(record))

    def format_to_ecs(self, record: logging.LogRecord) -> dict[str, Any]:
        text = text_of(record)
        line: dict[str, Any] = {
            "@timestamp": self._record_timestamp(record),
            "log.level": record.levelname.lower(),
            "message": text,
            "ecs.version": ECS_VERSION,
            "log": {"logger": record.name},
            "service": {"name": "snap", "node": {"name": self._hostname}},
            "process": {"name": self._process, "pid": record.process},
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
        self._add_error(line, record)
        return line

    def _record_timestamp(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second, self._time = second, text
            return f"{text}.{int(record.msecs):03d}Z"
        return f"{self._time}.{int(record.msecs):03d}Z"

    def _add_error(self, line: dict[str, Any], record: logging.LogRecord) -> None:
        if not (stack := traceback_of(record)):
            return
        error = line.setdefault("error", {})
        error["stack_trace"] = stack
        if kind := self._record_error_type(record):
            error["type"] = kind
            error["message"] = hide_in_error(kind, self._record_error_message(record) or "")


def _put(line: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    *parents, name = path
    place = line
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
