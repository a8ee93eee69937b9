"""Reads lines of the log as an ELK stack does, and looks for what must not be in them."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

# Fields of the schema that SNAP writes, with their types in Elasticsearch's template.
TYPES: dict[str, type] = {
    "@timestamp": str,
    "log.level": str,
    "message": str,
    "ecs.version": str,
    "log.logger": str,
    "service.name": str,
    "service.node.name": str,
    "process.name": str,
    "process.pid": int,
    "event.action": str,
    "event.duration": int,
    "http.request.id": str,
    "http.request.method": str,
    "http.response.status_code": int,
    "url.path": str,
    "error.type": str,
    "error.message": str,
    "error.stack_trace": str,
    "trace.id": str,
}
REQUIRED = ("@timestamp", "log.level", "message", "ecs.version")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LEVELS = {"debug", "info", "warning", "error", "critical"}
# Docker's json-file driver cuts lines there.
LONGEST = 16_384


def read_ecs(line: str) -> dict[str, Any]:
    """Return the fields of a line by their dotted names. Fail for what ELK would refuse."""
    assert len(line.encode()) <= LONGEST, line[:200]
    try:
        parsed = json.loads(line, object_pairs_hook=_without_doubles)
    except ValueError as error:
        raise AssertionError(f"no JSON: {line!r}") from error
    assert isinstance(parsed, dict), line
    fields = dict(_flatten(parsed))
    assert not [name for name in REQUIRED if name not in fields], line
    for name, value in fields.items():
        if name.startswith("snap."):
            assert isinstance(value, (str, int, float)), line
        else:
            assert type(value) is TYPES[name], (name, line)
    assert TIMESTAMP.fullmatch(fields["@timestamp"]), line
    assert fields["log.level"] in LEVELS, line
    return fields


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a name comes twice: {names}"
    return dict(pairs)


def _flatten(fields: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def spellings(secret: str) -> set[str]:
    """Return the forms in which a log could have a secret."""
    forms = {
        secret,
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
    forms |= {base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]}
    digits = re.sub(r"\D", "", secret)
    if len(digits) >= 9 and not re.search(r"[A-Za-z]", secret):
        forms |= {digits, digits[-9:], f"{digits[-9:-6]} {digits[-6:-3]} {digits[-3:]}"}
    return forms


def find_secrets(text: str, secrets: Iterable[str]) -> list[str]:
    """Return the lines of a log that have a secret in any spelling, in any case."""
    lowered = text.lower()
    found = []
    for secret in secrets:
        for form in spellings(secret):
            at = lowered.find(form.lower())
            if at >= 0:
                end = lowered.find("\n", at)
                start = lowered.rfind("\n", 0, at)
                found.append(f"{secret}: {text[start + 1 : end][:400]}")
    return found
