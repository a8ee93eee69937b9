"""Each thing that can be wrong is said, with the heading of the runbook."""

import re
from dataclasses import replace

import pytest

from guests.overview import problems
from guests.overview.problems import Severity, problems_of, severity_of
from guests.overview.queues import BULK, CODES, Queue
from guests.overview.system import Host, Load, ModeState, System
from snap.control.modes import EMERGENCY, QUEUE
from snap.local.processes import BASE_DIR
from tests.helpers.systems import WELL, with_health, with_queues, with_rows

LARGE = Host("alfa", 2.0, {"worker-3": 612_000_000}, 0)
AWAY = replace(with_health(level=3, database=False, workers=None), rows=None)

# What is wrong: the heading, a part of the sentence, and how bad it is.
WRONG: dict[str, tuple[System, str, str, Severity]] = {
    "nothing accepted": (
        replace(with_health(level=4, database=False, journal=False, workers=None), rows=None),
        "NothingAccepted",
        "Neither PostgreSQL nor the journal",
        Severity.DOWN,
    ),
    "database away": (AWAY, "DatabaseAway", "PostgreSQL does not respond", Severity.DOWN),
    "database slow": (replace(WELL, rows=None), "DatabaseAway", "too slowly", Severity.DOWN),
    "redis away": (with_health(level=2, redis=False), "RedisAway", "Redis", Severity.DOWN),
    "workers away": (with_health(level=2, workers=False), "WorkersAway", "worker", Severity.DOWN),
    "journal": (with_health(journal=False), "JournalNotDrained", "of alfa", Severity.DOWN),
    "mail breaker": (
        replace(WELL, breakers={"mail_resend": "half_open"}),
        "MailProviderAway",
        "breaker of resend is half open",
        Severity.ATTENTION,
    ),
    "database breaker": (
        replace(WELL, breakers={"database": "open"}),
        "DatabaseAway",
        "A process still finds PostgreSQL away",
        Severity.ATTENTION,
    ),
    "limits breaker": (
        replace(WELL, breakers={"limits": "open"}),
        "RedisAway",
        "A process still finds Redis away",
        Severity.ATTENTION,
    ),
    "no sweeper": (with_rows(hosts=(), load=None), "SweeperAway", "unknown", Severity.DOWN),
    "no metrics": (
        with_rows(hosts=(Host("alfa", 2.0, {}, 0),)),
        "SweeperAway",
        "No process at alfa can be measured",
        Severity.ATTENTION,
    ),
    "memory": (
        with_rows(hosts=(LARGE,)),
        "MemoryHigh",
        "worker-3 at alfa uses 612 MB",
        Severity.ATTENTION,
    ),
    "late request": (
        with_queues(requests=Queue(1, 75.4)),
        "GuestRequestsLate",
        "waited for 75 s",
        Severity.ATTENTION,
    ),
    "deep queue": (
        with_queues(requests=Queue(51, 1.0)),
        "GuestQueueDeep",
        "51 requests wait",
        Severity.ATTENTION,
    ),
    "dead requests": (
        with_queues(dead_requests=3),
        "GuestRequestsDead",
        "Requests out of attempts: 3",
        Severity.ATTENTION,
    ),
    "late code": (
        with_queues(emails={CODES: Queue(2, 61.0), BULK: Queue()}),
        "LoginCodesLate",
        "code has waited for 61 s",
        Severity.ATTENTION,
    ),
    "late email": (
        with_queues(emails={CODES: Queue(), BULK: Queue(9, 901.0)}),
        "EmailsLate",
        "email has waited for 901 s",
        Severity.ATTENTION,
    ),
    "late journal": (
        with_queues(journal=Queue(4, 301.0)),
        "JournalLate",
        "301 s old",
        Severity.ATTENTION,
    ),
    "errors": (
        with_rows(load=Load(0.2, 20.0, 30.0, 5.1, 5, 50)),
        "ErrorsHigh",
        "5.1 % of the requests",
        Severity.ATTENTION,
    ),
    "slow": (
        with_rows(load=Load(1.7, 2000.0, 3400.0, 0.0, 50, 50)),
        "ResponsesSlow",
        "longer than 3.4 s",
        Severity.ATTENTION,
    ),
    "emergency mode": (
        with_rows(modes=(ModeState(EMERGENCY, is_on=True),)),
        "EmergencyMode",
        "The mode emergency is on",
        Severity.ATTENTION,
    ),
    "queue mode": (
        with_rows(modes=(ModeState(QUEUE, is_on=True),)),
        "QueueMode",
        "The mode queue is on",
        Severity.ATTENTION,
    ),
    "connections": (
        with_rows(connections=71),
        "DatabaseConnectionsHigh",
        "71 of 100 connections",
        Severity.ATTENTION,
    ),
    "connections of a large server": (
        with_rows(connections=132, max_connections=500),
        "DatabaseConnectionsHigh",
        "132 of 500 connections",
        Severity.ATTENTION,
    ),
    "bounces": (
        with_rows(emails={"delivered": 90, "bounced": 10}),
        "EmailsBounce",
        "10 of the latest 100 emails",
        Severity.ATTENTION,
    ),
}

# The same things just below what counts.
NEARLY = {
    "late request": with_queues(requests=Queue(1, 60.0)),
    "deep queue": with_queues(requests=Queue(50, 1.0)),
    "late code": with_queues(emails={CODES: Queue(2, 60.0)}),
    "late email": with_queues(emails={BULK: Queue(9, 900.0)}),
    "late journal": with_queues(journal=Queue(4, 300.0)),
    "journal unreadable": with_queues(journal=None),
    "errors": with_rows(load=Load(10.0, 20.0, 30.0, 5.0, 300, 3000)),
    "slow": with_rows(load=Load(10.0, 20.0, 3000.0, 0.0, 300, 3000)),
    "one error of few requests": with_rows(load=Load(0.5, 20.0, 30.0, 7.1, 14, 49)),
    "one slow response of few requests": with_rows(load=Load(0.5, 20.0, 9000.0, 0.0, 49, 2000)),
    "connections": with_rows(connections=70),
    "connections of a large server": with_rows(connections=131, max_connections=500),
    "few bounces": with_rows(emails={"bounced": 9}),
    "a small share of bounces": with_rows(emails={"delivered": 990, "bounced": 10}),
    "memory": with_rows(hosts=(Host("alfa", 2.0, {"web-1": 500_000_000}, 0),)),
    "closed breakers": replace(WELL, breakers={"database": "closed"}),
    "a switch that is off": with_rows(switches_off=("qr_pool",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str) -> None:
    system, heading, words, severity = WRONG[name]
    found = problems_of(system)
    (problem,) = [each for each in found if each.heading == heading]
    assert words in problem.text
    assert problem.text.endswith(".")
    assert problem.severity == severity
    assert severity_of(found) >= severity


@pytest.mark.parametrize("name", ["well", *NEARLY])
def test_what_is_well_is_no_problem(name: str) -> None:
    assert problems_of(NEARLY.get(name, WELL)) == []


def test_the_worst_comes_first() -> None:
    found = problems_of(
        replace(
            with_health(level=2, redis=False),
            rows=with_rows(connections=99, modes=(ModeState(QUEUE, is_on=True),)).rows,
        )
    )
    assert [each.severity for each in found] == [2, 1, 1]
    assert severity_of(found) == Severity.DOWN
    assert severity_of([]) == Severity.WELL


def test_every_heading_is_in_the_runbook() -> None:
    runbook = (BASE_DIR / "docs" / "operations.md").read_text()
    for _, heading, _, _ in WRONG.values():
        assert f"\n### {heading}\n" in runbook


def test_every_heading_has_a_case() -> None:
    source = (BASE_DIR / "guests" / "overview" / "problems.py").read_text()
    named = set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)+)"', source))
    assert named == {heading for _, heading, _, _ in WRONG.values()}
    assert named >= set(problems.MODE_HEADINGS.values())
