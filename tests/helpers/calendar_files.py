"""A strict reader of calendar files: RFC 5545 (iCalendar) and RFC 5546 (messages about events)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_OCTETS = 75
NAME = re.compile(r"[A-Z0-9-]+")
# A parameter: its name, and values that are quoted or have none of ":;,".
PARAMETER = re.compile(r';([A-Z0-9-]+)=((?:"[^"]*"|[^":;,]*)(?:,(?:"[^"]*"|[^":;,]*))*)')
LOCAL_TIME = re.compile(r"\d{8}T([01]\d|2[0-3])[0-5]\d[0-5]\d")
UTC_TIME = re.compile(LOCAL_TIME.pattern + "Z")
OFFSET = re.compile(r"[+-](?!0000(00)?$|-)\d{4}(\d\d)?|\+0000")
# Text whose signs are escaped (RFC 5545, 3.3.11).
TEXT = re.compile(r"(?:[^\\;,\x00-\x08\x0a-\x1f\x7f]|\\[\\;,nN])*")
TEXTS = {"SUMMARY", "LOCATION", "DESCRIPTION", "UID", "TZID", "TZNAME", "PRODID"}
ONCE = {
    "UID",
    "DTSTAMP",
    "DTSTART",
    "DTEND",
    "DURATION",
    "SEQUENCE",
    "STATUS",
    "SUMMARY",
    "LOCATION",
    "DESCRIPTION",
    "LAST-MODIFIED",
    "ORGANIZER",
    "URL",
}
INSIDE = {
    "VCALENDAR": {"VEVENT", "VTIMEZONE"},
    "VEVENT": {"VALARM"},
    "VTIMEZONE": {"STANDARD", "DAYLIGHT"},
}
STATUSES = {"TENTATIVE", "CONFIRMED", "CANCELLED"}


class Property(NamedTuple):
    name: str
    parameters: dict[str, str]
    value: str


@dataclass
class Component:
    name: str
    properties: list[Property] = field(default_factory=list)
    inside: list["Component"] = field(default_factory=list)

    def all(self, name: str) -> list[Property]:
        return [each for each in self.properties if each.name == name]

    def value(self, name: str) -> str:
        """Return the value of a property, "" without one."""
        found = self.all(name)
        return found[0].value if found else ""


def read_file(body: bytes) -> Component:
    """Return the calendar of a file. Raises AssertionError for a file that a calendar refuses."""
    calendar = _parse(_unfold(body))
    assert calendar.name == "VCALENDAR", "the file is no calendar"
    problems = list(_problems_of(calendar))
    assert not problems, "; ".join(problems)
    return calendar


def _unfold(body: bytes) -> list[str]:
    assert body.endswith(b"\r\n"), "the last line has no end"
    physical = body[:-2].split(b"\r\n")
    lines: list[str] = []
    for line in physical:
        assert b"\n" not in line, "a line ends without CR"
        assert b"\r" not in line, "a line ends without LF"
        assert len(line) <= MAX_OCTETS, f"a line has {len(line)} octets"
        assert line.strip(), "a line is empty"
        text = line.decode()
        if text[0] in " \t":
            assert lines, "the file begins within a line"
            lines[-1] += text[1:]
        else:
            lines.append(text)
    return lines


def _parse(lines: Sequence[str]) -> Component:
    root = Component("")
    open_components = [root]
    for line in lines:
        each = _property(line)
        current = open_components[-1]
        if each.name == "BEGIN":
            component = Component(each.value)
            allowed = INSIDE.get(current.name, {"VCALENDAR"} if current is root else set())
            assert each.value in allowed, f"{each.value} inside of {current.name or 'the file'}"
            current.inside.append(component)
            open_components.append(component)
        elif each.name == "END":
            assert each.value == current.name, f"{each.value} ends inside of {current.name}"
            open_components.pop()
        else:
            assert current is not root, "a property outside of the calendar"
            current.properties.append(each)
    assert len(open_components) == 1, f"{open_components[-1].name} has no end"
    assert len(root.inside) == 1, "more than one calendar"
    return root.inside[0]


def _property(line: str) -> Property:
    found = NAME.match(line)
    assert found, f"no name: {line}"
    name, rest = found[0], line[found.end() :]
    parameters = {}
    while parameter := PARAMETER.match(rest):
        assert parameter[1] not in parameters, f"{parameter[1]} twice: {line}"
        parameters[parameter[1]] = parameter[2]
        rest = rest[parameter.end() :]
    assert rest.startswith(":"), f"wrong parameters: {line}"
    return Property(name, parameters, rest[1:])


def _problems_of(calendar: Component) -> Iterator[str]:
    for name in ("VERSION", "PRODID"):
        if len(calendar.all(name)) != 1:
            yield f"{name} is not there once"
    if calendar.value("VERSION") != "2.0":
        yield "the version is not 2.0"
    if len(calendar.all("METHOD")) > 1:
        yield "two methods"
    zones = [each for each in calendar.inside if each.name == "VTIMEZONE"]
    for zone in zones:
        yield from _problems_of_zone(zone)
    names = {zone.value("TZID") for zone in zones}
    if len(names) != len(zones):
        yield "a time zone is there twice"
    events = [each for each in calendar.inside if each.name == "VEVENT"]
    if not events:
        yield "no event"
    for event in events:
        yield from _problems_of_event(event, names)
        yield from _problems_of_message(event, calendar.value("METHOD"))
    yield from _problems_of_texts(calendar)


def _problems_of_texts(component: Component) -> Iterator[str]:
    for each in component.properties:
        if each.name in TEXTS and not TEXT.fullmatch(each.value):
            yield f"{each.name} is not escaped: {each.value}"
    for inner in component.inside:
        yield from _problems_of_texts(inner)


def _problems_of_zone(zone: Component) -> Iterator[str]:
    if len(zone.all("TZID")) != 1:
        yield "a time zone without a name"
    if not zone.inside:
        yield "a time zone without an offset"
    for observance in zone.inside:
        if not LOCAL_TIME.fullmatch(observance.value("DTSTART")):
            yield "an offset does not begin at a local time"
        for name in ("TZOFFSETFROM", "TZOFFSETTO"):
            if not OFFSET.fullmatch(observance.value(name)):
                yield f"{name} is wrong: {observance.value(name)}"


def _problems_of_event(event: Component, zones: set[str]) -> Iterator[str]:
    for name in ONCE:
        if len(event.all(name)) > 1:
            yield f"{name} is there twice"
    for name in ("UID", "DTSTAMP", "DTSTART"):
        if not event.value(name):
            yield f"{name} is missing"
    for name in ("DTSTAMP", "LAST-MODIFIED", "CREATED"):
        for each in event.all(name):
            if not UTC_TIME.fullmatch(each.value):
                yield f"{name} is not in UTC"
    for each in [*event.all("DTSTART"), *event.all("DTEND")]:
        zone = each.parameters.get("TZID", "").strip('"')
        pattern = LOCAL_TIME if zone else UTC_TIME
        if not pattern.fullmatch(each.value):
            yield f"{each.name} is no time: {each.value}"
        if zone and zone not in zones:
            yield f"the file does not have the zone {zone}"
    if event.value("DTEND") and event.value("DURATION"):
        yield "both an end and a duration"
    if event.value("STATUS") not in {*STATUSES, ""}:
        yield "an unknown status"
    if event.value("SEQUENCE") and not event.value("SEQUENCE").isdecimal():
        yield "the sequence is no number"
    if event.value("ORGANIZER") and not event.value("ORGANIZER").startswith("mailto:"):
        yield "the organizer is no address"


def _problems_of_message(event: Component, method: str) -> Iterator[str]:
    """RFC 5546, 3.2.1 and 3.2.5."""
    if method not in {"", "PUBLISH", "CANCEL"}:
        yield f"{method} asks for an answer"
    if event.all("REQUEST-STATUS"):
        yield "a request status"
    if not method:
        # RFC 5545, 3.8.4.3: only a message has an organizer.
        if event.all("ORGANIZER"):
            yield "an organizer without a message"
        return
    if not event.value("ORGANIZER"):
        yield "a message without an organizer"
    if event.all("ATTENDEE"):
        yield "a published event has attendees"
    if method == "PUBLISH" and not event.value("SUMMARY"):
        yield "a published event without a summary"
    if method == "CANCEL":
        if event.value("STATUS") != "CANCELLED":
            yield "the status does not say that the event is cancelled"
        if not event.value("SEQUENCE"):
            yield "a cancellation without a sequence"
        if event.inside:
            yield "a cancellation with an alarm"
