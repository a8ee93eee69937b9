"""What `make run` shows of SNAP's work: requests, emails in the inbox, and guests."""

import json
import re
from collections.abc import Callable
from typing import Any

Fields = dict[str, str]

# A line in LOG_FORMAT=plain, and its fields.
_PLAIN = re.compile(r"\d{4}-\S+ \S+ (?P<level>[A-Z]+) (?P<logger>\S+) (?P<event>\w+)(?P<rest> .*)?")
_FIELD = re.compile(r"(\w+)=(\S*)")
# Fields of LOG_FORMAT=ecs that have other names in plain lines.
ECS_NAMES = {
    "http.request.method": "method",
    "http.response.status_code": "status",
    "url.path": "path",
    "log.level": "level",
    "event.action": "event",
    "error.type": "error_type",
    "error.message": "error",
}
# Requests of monitoring systems.
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
GREEN, CYAN, YELLOW, RED = 32, 36, 33, 31
COLOURS = {2: GREEN, 3: CYAN, 4: YELLOW, 5: RED}


def read_line(line: str) -> Fields:
    """Return the fields of a log line of SNAP, with `event` and `level`; {} for other lines."""
    if line.startswith("{"):
        return _read_ecs(line)
    found = _PLAIN.fullmatch(line)
    if found is None:
        return {}
    fields = dict(_FIELD.findall(found["rest"] or ""))
    return fields | {"event": found["event"], "level": found["level"].lower()}


def _read_ecs(line: str) -> Fields:
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    fields: Fields = {}
    _flatten(parsed, "", fields)
    if "event.duration" in fields:
        fields["duration_ms"] = f"{int(fields['event.duration']) / 1_000_000:.1f}"
    return fields


def _flatten(parsed: dict[str, Any], prefix: str, fields: Fields) -> None:
    for name, value in parsed.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            _flatten(value, f"{path}.", fields)
        else:
            fields[ECS_NAMES.get(path, path.removeprefix("snap."))] = str(value)


def describe_request(fields: Fields, url: str, *, coloured: bool) -> str:
    if fields["path"] in QUIET_PATHS:
        return ""
    status = fields["status"]
    if coloured:
        status = f"\033[{COLOURS.get(int(status[0]), 0)}m{status}\033[0m"
    milliseconds = round(float(fields["duration_ms"]))
    return f"{fields['method']:<4} {status} {fields['path']} {milliseconds} ms"


def describe_email(fields: Fields, url: str, *, coloured: bool) -> str:
    return f"Email: {url}/inbox/{fields['inbox_name']}/"


def describe_sms(fields: Fields, url: str, *, coloured: bool) -> str:
    return f"SMS: {url}/inbox/{fields['inbox_name']}/"


def describe_end(fields: Fields, url: str, *, coloured: bool) -> str:
    match fields["state"]:
        case "created":
            return f"Guest {fields['guest_id']} is on the list."
        case "waitlisted":
            return f"Guest {fields['guest_id']} is in the waiting list."
    return f"A request was refused: {fields.get('code', fields['state'])}."


DESCRIPTIONS: dict[str, Callable[..., str]] = {
    "request": describe_request,
    "email_in_inbox": describe_email,
    "sms_in_inbox": describe_sms,
    "guest_request_ended": describe_end,
}


def describe(fields: Fields, url: str, *, coloured: bool) -> str:
    """Return what the screen shows of a log line, "" for nothing. `url` is SNAP's address."""
    describe_event = DESCRIPTIONS.get(fields.get("event", ""))
    if describe_event is None:
        return ""
    try:
        return describe_event(fields, url, coloured=coloured)
    except (KeyError, ValueError):
        return ""  # The line was cut.
