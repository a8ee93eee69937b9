"""What is wrong with the system, each in a sentence, with the heading of the runbook.

The thresholds are those of the alerts (deploy/prometheus/rules), without their waiting times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from django.conf import settings

from guests.overview.queues import BULK, CODES, Queue, Queues
from guests.overview.system import Load, Rows, System
from snap.control.modes import EMERGENCY, QUEUE
from snap.monitor.connections import are_connections_high

MEGABYTE = 1_000_000
# Seconds after which the oldest row of a queue is late.
REQUEST_SECONDS = 60
CODE_SECONDS = 60
BULK_SECONDS = 900
JOURNAL_SECONDS = 300
QUEUE_DEPTH = 50
# Of the latest emails at least so many, and this share of them, have come back.
BOUNCED = 10
BOUNCED_SHARE = 0.05

MODE_HEADINGS = {EMERGENCY: "EmergencyMode", QUEUE: "QueueMode"}


class Severity(IntEnum):
    """How bad it is. The value is the exit status of `manage.py status`."""

    WELL = 0
    ATTENTION = 1
    DOWN = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `heading` is a heading of docs/operations.md."""

    severity: Severity
    text: str
    heading: str


def severity_of(problems: list[Problem]) -> Severity:
    """Return the severity of the worst problem."""
    return max((problem.severity for problem in problems), default=Severity.WELL)


def problems_of(system: System) -> list[Problem]:
    """Return what is wrong, the worst first."""
    found = [*_of_servers(system), *_of_breakers(system)]
    if system.rows is not None:
        found += _of_rows(system.rows)
    return sorted(found, key=lambda problem: -problem.severity)


def _down(text: str, heading: str) -> Problem:
    return Problem(Severity.DOWN, text, heading)


def _attention(text: str, heading: str) -> Problem:
    return Problem(Severity.ATTENTION, text, heading)


def _of_servers(system: System) -> Iterator[Problem]:
    health = system.health
    if not health.is_ready:
        yield _down("Neither PostgreSQL nor the journal takes requests.", "NothingAccepted")
    if not health.database:
        yield _down("PostgreSQL does not respond. Requests go to the journal.", "DatabaseAway")
    elif system.rows is None:
        yield _down("PostgreSQL responds too slowly to say how queues are.", "DatabaseAway")
    if not health.redis:
        yield _down("Redis takes no writes. Limits count in each process.", "RedisAway")
    if health.workers is False:
        yield _down("No worker takes up requests. The sweeper ends them.", "WorkersAway")
    if not health.journal:
        text = f"The journal of {system.host} cannot be written."
        yield _down(text, "JournalNotDrained")


def _of_breakers(system: System) -> Iterator[Problem]:
    for name, state in sorted(system.breakers.items()):
        if state == "closed":
            continue
        words = state.replace("_", " ")
        if name.startswith("mail_"):
            provider = name.removeprefix("mail_")
            yield _attention(f"The breaker of {provider} is {words}.", "MailProviderAway")
        elif name == "database" and system.health.database:
            yield _attention("A process still finds PostgreSQL away.", "DatabaseAway")
        elif name == "limits" and system.health.redis:
            yield _attention("A process still finds Redis away.", "RedisAway")


def _of_rows(rows: Rows) -> Iterator[Problem]:
    yield from _of_hosts(rows)
    yield from _of_queues(rows.queues)
    if rows.load is not None:
        yield from _of_load(rows.load)
    for mode in rows.modes:
        if mode.is_on:
            yield _attention(f"The mode {mode.name} is on.", MODE_HEADINGS[mode.name])
    if are_connections_high(rows.connections, rows.max_connections):
        text = f"PostgreSQL has {rows.connections} of {rows.max_connections} connections in use."
        yield _attention(text, "DatabaseConnectionsHigh")
    yield from _of_bounces(rows.emails)


def _of_hosts(rows: Rows) -> Iterator[Problem]:
    if settings.MONITOR_SECONDS and not rows.hosts:
        yield _down("No sweeper has reported lately: the load is unknown.", "SweeperAway")
    for host in rows.hosts:
        if not host.memory:
            text = f"No process at {host.name} can be measured: it has no folder of metrics."
            yield _attention(text, "SweeperAway")
        for process, used in sorted(host.memory.items()):
            if used > settings.MEMORY_WARNING_MB * MEGABYTE:
                text = f"{process} at {host.name} uses {used // MEGABYTE} MB of memory."
                yield _attention(text, "MemoryHigh")


def _of_queues(queues: Queues) -> Iterator[Problem]:
    if queues.requests.oldest_age > REQUEST_SECONDS:
        text = f"The oldest request has waited for {queues.requests.oldest_age:.0f} s."
        yield _attention(text, "GuestRequestsLate")
    if queues.requests.depth > QUEUE_DEPTH:
        yield _attention(f"{queues.requests.depth} requests wait.", "GuestQueueDeep")
    if queues.dead_requests:
        text = f"Requests out of attempts: {queues.dead_requests}."
        yield _attention(text, "GuestRequestsDead")
    code_age = queues.emails.get(CODES, Queue()).oldest_age
    if code_age > CODE_SECONDS:
        yield _attention(f"The oldest code has waited for {code_age:.0f} s.", "LoginCodesLate")
    email_age = queues.emails.get(BULK, Queue()).oldest_age
    if email_age > BULK_SECONDS:
        yield _attention(f"The oldest email has waited for {email_age:.0f} s.", "EmailsLate")
    if queues.journal is not None and queues.journal.oldest_age > JOURNAL_SECONDS:
        text = f"The oldest entry of the journal is {queues.journal.oldest_age:.0f} s old."
        yield _attention(text, "JournalLate")


def _of_load(load: Load) -> Iterator[Problem]:
    if load.is_failing:
        text = f"{load.error_percent:.1f} % of the requests in 5 minutes ended with an error."
        yield _attention(text, "ErrorsHigh")
    if load.is_slow:
        text = f"One in 20 requests takes longer than {load.response_ms / 1000:.1f} s."
        yield _attention(text, "ResponsesSlow")


def _of_bounces(emails: dict[str, int]) -> Iterator[Problem]:
    bounced = emails.get("bounced", 0)
    if bounced >= BOUNCED and bounced > sum(emails.values()) * BOUNCED_SHARE:
        text = f"{bounced} of the latest {sum(emails.values())} emails have come back."
        yield _attention(text, "EmailsBounce")
