"""Pictures of the system: one in which all is well, and the parts that tests replace."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from guests.overview.queues import BULK, CODES, Queue, Queues
from guests.overview.system import Host, Load, ModeState, Rows, System
from snap.control.modes import MODES
from snap.observability.health import Health

WELL = System(
    read_at=datetime(2026, 11, 27, 23, 41, 5, tzinfo=UTC),
    host="alfa",
    health=Health(level=1, database=True, redis=True, journal=True, workers=True),
    breakers={"database": "closed", "limits": "closed", "mail_smtp": "closed"},
    rows=Rows(
        modes=tuple(ModeState(name, is_on=False) for name in MODES),
        switches_off=(),
        queues=Queues(emails={CODES: Queue(), BULK: Queue()}),
        hosts=(Host("alfa", 2.0, {"web-1": 130_000_000, "worker-1": 90_000_000}, 340),),
        load=Load(41.2, 22.0, 85.0, 0.0, 1236, 9800),
        connections=37,
        max_connections=100,
        emails={"delivered": 950, "sent": 40},
    ),
    journal_depth=0,
)


def with_health(**parts: Any) -> System:
    return replace(WELL, health=replace(WELL.health, **parts))


def with_rows(**parts: Any) -> System:
    assert WELL.rows is not None
    return replace(WELL, rows=replace(WELL.rows, **parts))


def with_queues(**parts: Any) -> System:
    assert WELL.rows is not None
    return with_rows(queues=replace(WELL.rows.queues, **parts))
