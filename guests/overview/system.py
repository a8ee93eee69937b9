"""The system at a glance: servers, modes, queues, load, emails, and the processes of each host.

The staff dashboard and `manage.py status` show it. It has no names, phones, emails or texts of
people.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from socket import gethostname
from typing import Any

from django.conf import settings
from django.db import Error, connection
from waffle.models import Switch

from guests.overview.queues import Queues, read_journal, read_queues
from snap.control import snapshot
from snap.metering import slots
from snap.models import HostReading, Mode, ModeChange
from snap.monitor.connections import read_connections
from snap.monitor.samples import (
    LONG_WINDOW,
    NOTHING,
    WINDOW,
    are_enough,
    error_share,
    response_ms,
    stored_samples,
    traffic,
)
from snap.observability.health import Health, read_health
from snap.observability.metrics import breaker_states
from snap.observability.readings import Reading, average_ms
from snap.resilience.connections import deadline

# Seconds that all queries together may take.
QUERY_SECONDS = 3.0
# A host that has missed so many readings is gone, or its sweeper is.
MISSED_READINGS = 3.5
# The emails whose states are counted: the latest so many, by their ids.
LATEST_EMAILS = 1_000

EMAIL_STATES = """
SELECT state, count(*)
FROM (SELECT state FROM notifications_email ORDER BY id DESC LIMIT %s) AS latest GROUP BY state
"""


@dataclass(frozen=True)
class ModeState:
    """A mode. `until` is set while staff have set the mode by hand."""

    name: str
    is_on: bool
    until: datetime | None = None
    # Why the load monitor began or ended it. What staff write is left out.
    why: str = ""


@dataclass(frozen=True)
class Host:
    """The processes of one host, read `age` seconds ago. Memory in bytes by process."""

    name: str
    age: float
    memory: dict[str, int]
    sockets: int


@dataclass(frozen=True)
class Load:
    """The requests of visitors at all hosts: of the last half minute, errors of five minutes.

    `requests` and `requests_in_five_minutes` are the numbers of them.
    """

    requests_per_second: float
    average_ms: float
    # 95 % of the requests took no longer.
    response_ms: float
    error_percent: float
    requests: int
    requests_in_five_minutes: int

    @property
    def is_slow(self) -> bool:
        return are_enough(self.requests) and self.response_ms > settings.MONITOR_RESPONSE_MS

    @property
    def is_failing(self) -> bool:
        is_above = self.error_percent > settings.MONITOR_ERROR_PERCENT
        return are_enough(self.requests_in_five_minutes) and is_above


@dataclass(frozen=True)
class Rows:
    """What the database says."""

    modes: tuple[ModeState, ...]
    switches_off: tuple[str, ...]
    queues: Queues
    hosts: tuple[Host, ...]
    # None: no host has reported lately.
    load: Load | None
    connections: int
    max_connections: int
    # The latest emails by state.
    emails: dict[str, int]


@dataclass(frozen=True)
class System:
    """The whole picture. `rows` is None while the database is away."""

    read_at: datetime
    host: str
    health: Health
    # The worst state of each breaker over the processes of this host; empty if unknown.
    breakers: dict[str, str]
    rows: Rows | None
    # Entries of this host's journal, which needs no database; None if it cannot be read.
    journal_depth: int | None = field(default=None)

    def to_json(self) -> dict[str, Any]:
        """Return values for JSON. Times are ISO 8601."""
        values: dict[str, Any] = _plain(asdict(self))
        return values


def read_system() -> System:
    """Return the picture now. It asks each server: 15 ms, and at most 8 s while one is silent."""
    health = read_health()
    rows = None
    if health.database:
        rows = _read_rows_in_time()
    journal = read_journal()
    return System(
        read_at=datetime.now(UTC),
        host=gethostname(),
        health=health,
        breakers=_read_breakers(),
        rows=rows,
        journal_depth=None if journal is None else journal.depth,
    )


def _read_rows_in_time() -> Rows | None:
    try:
        with deadline(QUERY_SECONDS):
            # Emails that wait for a switch are not late.
            snapshot.refresh_without_thread()
            return read_rows()
    except Error:
        return None


def read_rows() -> Rows:
    """Return what the database says. Ten queries, 5 ms. Raises django.db.Error."""
    hosts = list(HostReading.objects.recent(MISSED_READINGS * (settings.MONITOR_SECONDS or 10)))
    connections = read_connections()
    off = Switch.objects.filter(active=False).order_by("name")
    return Rows(
        modes=tuple(map(_mode_state, Mode.objects.with_last_change())),
        switches_off=tuple(off.values_list("name", flat=True)),
        queues=read_queues(),
        hosts=tuple(map(_host, hosts)),
        load=_load_of(hosts),
        connections=connections.used,
        max_connections=connections.most,
        emails=_count_emails(),
    )


def _mode_state(mode: Mode) -> ModeState:
    if mode.is_set_by_hand:
        return ModeState(mode.name, mode.is_active, until=mode.override_until)
    why = ""
    if mode.last_source == ModeChange.Source.MONITOR:
        why = mode.last_reason or ""
    return ModeState(mode.name, mode.is_active, why=why)


def _host(reading: HostReading) -> Host:
    values = Reading.from_json(reading.values)
    return Host(reading.host, round(reading.age, 1), values.memory, values.sockets)


def _load_of(hosts: Iterable[HostReading]) -> Load | None:
    """Return the load of all hosts; None if none has stored a difference of two readings."""
    samples = []
    for host in hosts:
        samples += stored_samples(host.values, host.age)
    if not samples:
        return None
    lately = traffic(samples, WINDOW)
    longer = traffic(samples, LONG_WINDOW)
    return Load(
        requests_per_second=round(lately.requests / WINDOW, 1),
        average_ms=round(average_ms(NOTHING, lately), 1),
        response_ms=round(response_ms(lately), 1),
        error_percent=round(error_share(longer), 2),
        requests=round(lately.requests),
        requests_in_five_minutes=round(longer.requests),
    )


def _count_emails() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(EMAIL_STATES, [LATEST_EMAILS])
        return dict(cursor.fetchall())


def _read_breakers() -> dict[str, str]:
    """Return the breakers of this host; none where this process cannot see those of others."""
    if slots.folder() is None:
        return {}
    try:
        return breaker_states()
    except OSError:
        return {}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
