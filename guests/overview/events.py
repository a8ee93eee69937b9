"""The counts of tonight's events, computed at most once a second for all processes together.

One row has them (`NightCounts`). A process that needs them reads the row. If it is older than a
second, the process locks it, adds what has changed, and writes it for all others. Nothing is
computed while nobody looks.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic, time

from django.db import connection, transaction
from django.db.models.functions import Now

from guests.models import Event, Promoter
from guests.overview.counting import NO_PROMOTER, EventCounts, Tally, add_changes, count_all
from snap.control.modes import slowed
from snap.local_cache import LocalCache, on_reset

# Seconds between two counts. Emergency mode makes them more.
SECONDS = 1.0
# The counts of an event that is not tonight's are cached for this time.
OTHER_EVENT_SECONDS = 10.0
PROMOTER_SECONDS = 60.0
# All is counted this often, so that no error stays; sooner when the history left a doubt. It takes
# at most one part in COUNT_ALL_SHARE of the time.
COUNT_ALL_SECONDS = 60.0
DOUBTFUL_SECONDS = 5.0
COUNT_ALL_SHARE = 400
# Changes of a longer time are not added: all is counted.
LONGEST_PAUSE = 60.0

# An event is tonight's until so long after its end, and from so long before its list opens.
AFTER_END = timedelta(hours=8)
BEFORE_OPENING = timedelta(hours=24)
MAX_EVENTS = 30

# The values only if they are others than those that this process has read.
READ = """
SELECT counted_at, extract(epoch FROM clock_timestamp())::float8,
    extract(epoch FROM counted_at)::float8,
    CASE WHEN counted_at = %s THEN NULL ELSE values END
FROM guests_nightcounts
"""
ADD_ROW = """
INSERT INTO guests_nightcounts (id, counted_at, values) VALUES (1, 'epoch', '{}')
ON CONFLICT DO NOTHING
"""
WRITE = """
UPDATE guests_nightcounts SET counted_at = clock_timestamp(), values = %s RETURNING counted_at
"""
# For a second in which nothing has changed.
WRITE_TIME = "UPDATE guests_nightcounts SET counted_at = clock_timestamp() RETURNING counted_at"


@dataclass(frozen=True)
class NightEvent:
    """An event, read with the database's time, and its counts."""

    event: Event
    counts: EventCounts


@dataclass(frozen=True)
class Night:
    """Tonight's events in the order of their start, as they were at a time."""

    counted_at: datetime
    events: tuple[NightEvent, ...]

    def find(self, slug: str) -> NightEvent | None:
        """Return an event by the name in its link, of which capitals are no part."""
        for each in self.events:
            if each.event.slug.lower() == slug.lower():
                return each
        return None


@dataclass(frozen=True)
class _Known:
    """The shared row as this process has read it last."""

    counted_at: datetime | None = None
    tally: Tally = field(default_factory=Tally)

    def has(self, events: list[Event]) -> bool:
        return all(event.pk in self.tally.events for event in events)


class _Process:
    known = _Known()


_nights: LocalCache[str, Night] = LocalCache(size=1, seconds=lambda: seconds_between() / 2)
_other_events: LocalCache[str, NightEvent] = LocalCache(
    size=10, seconds=lambda: OTHER_EVENT_SECONDS
)
_promoter_names: LocalCache[int, str] = LocalCache(size=5_000, seconds=lambda: PROMOTER_SECONDS)


def seconds_between() -> float:
    """Return the seconds between two counts."""
    return slowed(SECONDS)


def tonights_events() -> list[Event]:
    """Return published events whose list opens soon or has opened, and that ended lately at most.

    One query. At most MAX_EVENTS, the first by their start.
    """
    shown = Event.objects.published().filter(
        ends_at__gt=Now() - AFTER_END, list_opens_at__lt=Now() + BEFORE_OPENING
    )
    return list(shown.with_database_time().order_by("starts_at", "pk")[:MAX_EVENTS])


def read_night() -> Night:
    """Return tonight's events with their counts, at most a second old.

    Two queries; in the process that counts, five in a transaction more. Raises django.db.Error.
    """
    cached = _nights.get("night")
    if cached is not None:
        return cached
    events = tonights_events()
    _now, age = _read_row()
    if not _is_current(age, events):
        _bring_up_to_date(events, has_row=age is not None)
    known = _Process.known
    assert known.counted_at is not None
    counted = []
    for event in events:
        # Without counts only if the event was published in this moment.
        counted.append(NightEvent(event, known.tally.events.get(event.pk) or EventCounts()))
    night = Night(known.counted_at, tuple(counted))
    _nights.set("night", night)
    return night


def read_event(slug: str) -> NightEvent | None:
    """Return an event that is not tonight's with its counts, None without one.

    Two queries, cached for OTHER_EVENT_SECONDS. Raises django.db.Error.
    """
    if cached := _other_events.get(slug):
        return cached
    event = Event.objects.with_database_time().filter(slug=slug).first()
    if event is None:
        return None
    found = NightEvent(event, count_all([event.pk], now=time()).events[event.pk])
    _other_events.set(slug, found)
    return found


def promoter_names(ids: set[int]) -> dict[int, str]:
    """Return the names of promoters by their ids. A query for those that are not cached."""
    names: dict[int, str] = {}
    missing = set()
    for pk in ids - {NO_PROMOTER}:
        if name := _promoter_names.get(pk):
            names[pk] = name
        else:
            missing.add(pk)
    if missing:
        for pk, name in Promoter.objects.filter(pk__in=missing).values_list("pk", "name"):
            names[pk] = name
            _promoter_names.set(pk, name)
    return names


def _is_current(age: float | None, events: list[Event]) -> bool:
    is_young = age is not None and age < seconds_between() * 0.9
    return is_young and _Process.known.has(events)


def _read_row(lock: str = "") -> tuple[float, float | None]:
    """Read the shared row, if it has changed. Return the database's time, and the row's age.

    Both in seconds. The age is None without a row.
    """
    with connection.cursor() as cursor:
        cursor.execute(READ + lock, [_Process.known.counted_at])
        row = cursor.fetchone()
    if row is None:
        return 0, None
    counted_at, now, counted, values = row
    if values is not None:
        _Process.known = _Known(counted_at, Tally.from_json(json.loads(values)) or Tally())
    return now, now - counted


@transaction.atomic
def _bring_up_to_date(events: list[Event], *, has_row: bool) -> None:
    """Lock the shared row, count, and write it, unless another process has just done so.

    While another process counts, the last values hold. A process that knows none waits for them.
    """
    if not has_row:
        with connection.cursor() as cursor:
            cursor.execute(ADD_ROW)
    lock = "FOR UPDATE"
    if has_row and _Process.known.has(events):
        lock = "FOR UPDATE SKIP LOCKED"
    now, age = _read_row(lock)
    if age is None or _is_current(age, events):
        return
    tally = _count(_Process.known.tally, events, now=now, age=age)
    with connection.cursor() as cursor:
        if tally is _Process.known.tally:
            cursor.execute(WRITE_TIME)
        else:
            cursor.execute(WRITE, [json.dumps(tally.to_json())])
        (counted_at,) = cursor.fetchone()
    _Process.known = _Known(counted_at, tally)


def _count(tally: Tally, events: list[Event], *, now: float, age: float) -> Tally:
    """Return the tally with what has changed since, or a new one when all has to be counted."""
    wanted = [event.pk for event in events]
    pause = COUNT_ALL_SECONDS
    if tally.is_doubtful:
        pause = DOUBTFUL_SECONDS
    pause = max(pause, tally.seconds * COUNT_ALL_SHARE)
    is_complete = tally.events.keys() >= set(wanted)
    if is_complete and age < LONGEST_PAUSE and now - tally.counted_at < pause:
        return add_changes(tally, now=now)
    began = monotonic()
    counted = count_all(wanted, now=now)
    counted.seconds = monotonic() - began
    return counted


def _forget() -> None:
    _Process.known = _Known()


on_reset(_forget)
