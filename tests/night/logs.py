"""The way of one request through the logs of all processes, found by its request id."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

REQUEST_ID, TICKET_ID = "http.request.id", "snap.ticket_id"


@dataclass(frozen=True)
class Line:
    """One line of a log. `process` is the name of its file, `fields` are by dotted names."""

    process: str
    at: float
    fields: dict[str, Any]

    @property
    def event(self) -> str:
        return str(self.fields.get("message", ""))

    @property
    def request_id(self) -> str:
        return str(self.fields.get(REQUEST_ID, ""))


def read(folder: Path, processes: tuple[str, ...]) -> list[Line]:
    """Return all lines of the logs of these processes, in the order of their times."""
    lines = [line for name in processes for line in _read(folder / f"{name}.log", name)]
    return sorted(lines, key=lambda line: line.at)


def _read(path: Path, process: str) -> Iterator[Line]:
    for text in path.read_text(errors="replace").splitlines():
        try:
            fields = dict(_flatten(json.loads(text)))
            at = datetime.fromisoformat(fields["@timestamp"]).timestamp()
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield Line(process, at, fields)


def _flatten(fields: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def request_id_of(lines: list[Line], ticket_id: str) -> str:
    """Return the id of the request that was answered with a ticket, or "" if no line has it."""
    for line in lines:
        if line.fields.get(TICKET_ID) == ticket_id and line.process == "web" and line.request_id:
            return line.request_id
    return ""


def way_of(lines: list[Line], request_id: str) -> list[Line]:
    """Return the lines of all processes with a request id."""
    return [line for line in lines if request_id and line.request_id == request_id]
