"""The picture of the system in a terminal of 80 columns."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from guests.models import Event
from guests.overview.counting import NO_PROMOTER, EventCounts
from guests.overview.events import Night, NightEvent
from guests.overview.problems import problems_of
from guests.overview.queues import BULK, CODES, Queue
from guests.overview.system import Host, ModeState, System
from guests.overview.terminal import WIDTH, describe
from tests.helpers.systems import WELL, with_health, with_queues, with_rows

LONG_NAME = "web-host-in-the-second-rack.production.internal.festas.pt"
CROWDED = with_rows(
    modes=(
        ModeState("emergency", is_on=True, why="response_ms 3400.0"),
        ModeState("queue", is_on=False, until=datetime(2026, 11, 27, 23, 59, tzinfo=UTC)),
    ),
    switches_off=("admission_pacing", "async_creation", "batching", "challenge", "qr_pool"),
    hosts=tuple(Host(LONG_NAME, 9.0, {"worker-12": 900_000_000}, 12_345) for _ in range(3)),
    emails=dict.fromkeys(("bounced", "cancelled", "complained", "delivered", "sent"), 10000),
)
SYSTEMS = {
    "well": WELL,
    "crowded": CROWDED,
    "away": replace(with_health(level=3, database=False, workers=None), rows=None),
    "breakers": replace(WELL, breakers={f"mail_provider_{n}": "half_open" for n in range(9)}),
}


NOW = datetime(2026, 11, 27, 23, 41, 5, tzinfo=UTC)
THIS_MINUTE = int(NOW.timestamp()) // 60


def make_night(*titles: str) -> Night:
    """Make a night without rows. The second event is the busier one."""
    events = []
    for number, title in enumerate(titles):
        event = Event(title=title, capacity=200)
        event.database_now = NOW
        counts = EventCounts()
        for measure, size in (("requests", 260), ("on_list", 200), ("waiting", 31)):
            counts.add(measure, NO_PROMOTER, size)
        counts.add_minute("requests", THIS_MINUTE - 1, 12 * number)
        counts.add_minute("requests", THIS_MINUTE, 999)
        events.append(NightEvent(event, counts))
    return Night(NOW, tuple(events))


def text_of(system: System, night: Night | None = None) -> str:
    return "\n".join(describe(system, problems_of(system), night))


def joined(system: System) -> str:
    """Return the picture as one line, without the breaks of long lines."""
    return " ".join(text_of(system).split())


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_line_is_longer_than_the_terminal(name: str) -> None:
    lines = text_of(SYSTEMS[name]).splitlines()
    assert [line for line in lines if len(line) > WIDTH] == []
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_quiet_night_fits_on_half_a_screen() -> None:
    text = text_of(WELL)
    assert text.startswith("SNAP at 23:41:05: well")
    assert "!" not in text
    assert "Level      1 normal" in text
    assert "41.2 a second, 95 % within 85 ms, 0.0 % errors in 5 minutes" in text
    assert len(text.splitlines()) <= 16


def test_each_problem_has_the_link_to_the_runbook() -> None:
    text = text_of(with_queues(requests=Queue(1, 75.0)))
    assert text.startswith("SNAP at 23:41:05: needs attention")
    assert "! The oldest request has waited for 75 s." in text
    assert "docs/operations.md#guestrequestslate" in text


def test_modes_say_who_or_what_set_them() -> None:
    text = joined(CROWDED)
    assert "emergency ON (responses take up to 3400 ms)" in text
    assert "queue off (by staff until 27/11 23:59)" in text
    assert "OFF: admission_pacing, async_creation" in text


def test_what_only_the_database_knows_is_called_unknown() -> None:
    text = joined(SYSTEMS["away"])
    assert "down" in text
    assert "PostgreSQL AWAY" in text
    assert "workers unknown" in text
    assert "Queues unknown: only the database has them" in text
    assert "0 wait for the database" in text
    assert "all on" not in text


def test_queues_and_emails_are_said_in_numbers() -> None:
    waiting = with_queues(
        requests=Queue(12, 3.2),
        in_line=40,
        emails={CODES: Queue(1, 0.5), BULK: Queue(120, 35.0)},
        dead_emails=2,
    )
    text = joined(waiting)
    assert "Requests 12 wait, the oldest 3 s, 40 in line, 0 dead" in text
    assert "codes: 1 wait, the oldest 0 s; others: 120 wait, the oldest 35 s; 2 dead" in text
    assert "latest: 950 delivered, 40 sent" in text


def test_the_busiest_events_come_first() -> None:
    text = text_of(WELL, make_night("Quiet", "Noite"))
    assert text.index("Noite") < text.index("Quiet")
    joined_text = " ".join(text.split())
    assert "200 of 200 on the list, 31 waiting, requests in the last minute: 12" in joined_text
    assert "checked in" not in text


def test_many_events_with_long_titles_fit() -> None:
    text = text_of(WELL, make_night(*(f"{number} {'festa ' * 40}" for number in range(30))))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) <= 32
    assert "more events: 25" in text
    assert "Events     none tonight" in text_of(WELL, make_night())
