"""The system as lines of text, for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterator, Mapping

from django.utils import timezone, translation

from guests.overview.counting import CHECKED_IN, ON_LIST, REQUESTS, WAITING
from guests.overview.events import Night, NightEvent
from guests.overview.problems import MEGABYTE, Problem, Severity, severity_of
from guests.overview.queues import BULK, CODES, Queue, Queues
from guests.overview.system import Host, ModeState, Rows, System
from snap.models import words_of

WIDTH = 80
LABEL = 11  # columns of the names of lines
LEVELS = {1: "normal", 2: "direct", 3: "emergency", 4: "nothing left"}
TITLES = {Severity.WELL: "well", Severity.ATTENTION: "needs attention", Severity.DOWN: "down"}
MOST_EVENTS = 5
# What is shown of an event if there is any.
OTHER_MEASURES = {
    WAITING: "waiting",
    "refused": "refused",
    "pending": "pending",
    "dead": "dead",
    CHECKED_IN: "checked in",
}
RUNBOOK = "docs/operations.md#"


def describe(system: System, problems: list[Problem], night: Night | None) -> list[str]:
    """Return the picture as lines of at most WIDTH columns. `night` is None if it is unknown."""
    # Reasons of modes are texts of the catalogues, and the rest here is English.
    with translation.override("en"):
        lines = list(_lines(system, problems))
        if night is not None:
            lines += _events(night)
    return lines


def title_of(system: System, problems: list[Problem]) -> str:
    at = timezone.localtime(system.read_at)
    return f"SNAP at {at:%H:%M:%S}: {TITLES[severity_of(problems)]}"


def _lines(system: System, problems: list[Problem]) -> Iterator[str]:
    yield title_of(system, problems)
    for problem in problems:
        yield from textwrap.wrap(problem.text, WIDTH - 4, initial_indent="  ! ")
        yield f"    {RUNBOOK}{problem.heading.lower()}"
    yield ""
    yield from _line("Level", f"{system.health.level} {LEVELS[system.health.level]}")
    yield from _line("Servers", _servers(system))
    if system.breakers:
        yield from _line("Breakers", _breakers(system.breakers))
    if system.rows is None:
        yield from _line("Journal", _journal(system.journal_depth))
        yield from _line("Queues", "unknown: only the database has them")
        return
    yield from _rows(system.rows)


def _line(label: str, text: str) -> Iterator[str]:
    """Yield a line with its label, and further lines for what does not fit."""
    wrapped = textwrap.wrap(text, WIDTH - LABEL, break_on_hyphens=False) or [""]
    for number, part in enumerate(wrapped):
        yield f"{'' if number else label:<{LABEL}}{part}"


def _servers(system: System) -> str:
    health = system.health
    states = {
        "PostgreSQL": health.database,
        "Redis": health.redis,
        "workers": health.workers,
        "journal": health.journal,
    }
    words = {True: "ok", False: "AWAY", None: "unknown"}
    return ", ".join(f"{name} {words[state]}" for name, state in states.items())


def _breakers(breakers: Mapping[str, str]) -> str:
    not_closed = []
    for name, state in sorted(breakers.items()):
        if state != "closed":
            not_closed.append(f"{name} {state.replace('_', ' ')}")
    return ", ".join(not_closed) or "all closed"


def _journal(depth: int | None) -> str:
    if depth is None:
        return "cannot be read"
    return f"{depth} wait for the database"


def _rows(rows: Rows) -> Iterator[str]:
    yield from _line("Modes", ", ".join(map(_mode, rows.modes)) or "all off")
    yield from _line("Switches", _switches(rows.switches_off))
    yield from _queues(rows.queues)
    yield from _line("Emails", _emails(rows))
    yield from _line("Responses", _responses(rows))
    in_use = f"{rows.connections} of {rows.max_connections} connections"
    yield from _line("PostgreSQL", in_use)
    for host in rows.hosts:
        yield from _line("Host", _host(host))


def _mode(mode: ModeState) -> str:
    text = f"{mode.name} {'ON' if mode.is_on else 'off'}"
    if mode.until is not None:
        return f"{text} (by staff until {timezone.localtime(mode.until):%d/%m %H:%M})"
    if mode.is_on and mode.why:
        return f"{text} ({words_of(mode.why)})"
    return text


def _switches(off: tuple[str, ...]) -> str:
    if not off:
        return "all on"
    return f"OFF: {', '.join(off)}"


def _queues(queues: Queues) -> Iterator[str]:
    text = f"{_queue(queues.requests)}, {queues.in_line} in line, {queues.dead_requests} dead"
    yield from _line("Requests", text)
    journal = "cannot be read"
    if queues.journal is not None:
        journal = _queue(queues.journal)
    yield from _line("Journal", journal)


def _queue(queue: Queue) -> str:
    if not queue.depth:
        return "none waits"
    return f"{queue.depth} wait, the oldest {queue.oldest_age:.0f} s"


def _emails(rows: Rows) -> str:
    codes = _queue(rows.queues.emails.get(CODES, Queue()))
    others = _queue(rows.queues.emails.get(BULK, Queue()))
    states = []
    for state, size in sorted(rows.emails.items(), key=lambda item: -item[1]):
        states.append(f"{size} {state}")
    latest = ", ".join(states) or "none yet"
    return f"codes: {codes}; others: {others}; {rows.queues.dead_emails} dead; latest: {latest}"


def _responses(rows: Rows) -> str:
    load = rows.load
    if load is None:
        return "unknown: no sweeper has measured it lately"
    return (
        f"{load.requests_per_second:.1f} a second, 95 % within {load.response_ms:.0f} ms,"
        f" {load.error_percent:.1f} % errors in 5 minutes"
    )


def _host(host: Host) -> str:
    total = sum(host.memory.values()) // MEGABYTE
    text = f"{host.name}, {host.age:.0f} s ago: {len(host.memory)} processes, {total} MB"
    if host.memory:
        largest = max(host.memory, key=lambda process: host.memory[process])
        text += f" ({largest} {host.memory[largest] // MEGABYTE} MB)"
    return f"{text}, websockets: {host.sockets}"


# Events -------------------------------------------------------------------------------------------


def _events(night: Night) -> Iterator[str]:
    """Yield the busiest events: a terminal has some 24 lines."""
    yield ""
    if not night.events:
        yield from _line("Events", "none tonight")
    busiest = sorted(night.events, key=_in_last_minute, reverse=True)
    for each in busiest[:MOST_EVENTS]:
        yield textwrap.shorten(each.event.title, WIDTH, placeholder="…")
        yield from textwrap.wrap(_counts(each), WIDTH, initial_indent="  ", subsequent_indent="  ")
    if len(busiest) > MOST_EVENTS:
        yield f"more events: {len(busiest) - MOST_EVENTS}"


def _counts(each: NightEvent) -> str:
    totals = each.counts.totals
    parts = [f"{totals.get(ON_LIST, 0)} of {each.event.capacity} on the list"]
    for measure, words in OTHER_MEASURES.items():
        if totals.get(measure):
            parts.append(f"{totals[measure]} {words}")
    parts.append(f"requests in the last minute: {_in_last_minute(each)}")
    return ", ".join(parts)


def _in_last_minute(each: NightEvent) -> int:
    """Return how many requests came in the last full minute, by the database's clock."""
    minute = int(each.event.database_now.timestamp()) // 60 - 1
    return each.counts.minutes.get(REQUESTS, {}).get(minute, 0)
