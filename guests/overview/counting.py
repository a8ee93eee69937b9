"""Counts of events, kept up to date from the history of requests and guests.

Counting 100,000 guests takes longer than a dashboard may cost each second. So all is counted
seldom (`count_all`), and in between only the new lines of the history are added (`add_changes`).
Database triggers write the history, so it has each change of a state, whoever made it.

A line can become visible after a line with a higher id, when its transaction took longer. The ids
that were missing are asked for again for GAP_SECONDS.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from django.db import connection

REQUESTS = "requests"
ON_LIST = "on_list"
WAITING = "waiting"
CHECKED_IN = "checked_in"
LEAVING = "leaving"  # in the history: the holder gives the place back, and can undo it
# States of requests and of guests that are counted.
REQUEST_STATES = {"pending", "refused", "dead"}
PLACES = {ON_LIST, WAITING}

# For guests and requests without a promoter.
NO_PROMOTER = 0
# Seconds for which an id that is missing in the history is asked for again.
GAP_SECONDS = 60
# Missing ids are noted among so many ids before the last one of the history.
RECENT_IDS = 2000
# The form of `Tally.to_json`. Other forms are counted anew.
FORM = 1

# Minutes since 1970. What is older than half a day is counted by the hour, at its first minute.
MINUTE = """(CASE WHEN {at} < now() - interval '12 hours'
    THEN floor(date_part('epoch', {at}) / 3600) * 60
    ELSE floor(date_part('epoch', {at}) / 60) END)::bigint"""

# Each table is read once. A row of the result is about a promoter, or about a minute.
COUNT_ALL = f"""
SELECT event_id, grouping(promoter_id), coalesce(promoter_id, 0), minute,
    count(*),
    count(*) FILTER (WHERE state = 'pending'),
    count(*) FILTER (WHERE state = 'refused'),
    count(*) FILTER (WHERE state = 'dead'),
    0, 0, 0, NULL::bigint[]
FROM (
    SELECT event_id, promoter_id, state, {MINUTE.format(at="accepted_at")} AS minute
    FROM guests_guestrequest WHERE event_id = ANY(%(events)s)
) AS request
GROUP BY GROUPING SETS ((event_id, promoter_id), (event_id, minute))
UNION ALL
SELECT event_id, grouping(promoter_id), coalesce(promoter_id, 0), minute, 0, 0, 0, 0,
    count(*) FILTER (WHERE state = 'on_list'),
    count(*) FILTER (WHERE state = 'waiting'),
    count(*) FILTER (WHERE state = 'on_list' AND checked_in_at IS NOT NULL),
    NULL
FROM (
    SELECT event_id, promoter_id, state, checked_in_at,
        {MINUTE.format(at="coalesce(state_since, created_at)")} AS minute
    FROM guests_guest WHERE event_id = ANY(%(events)s) AND state IN ('on_list', 'waiting')
) AS guest
GROUP BY GROUPING SETS ((event_id, promoter_id), (event_id, minute))
UNION ALL
SELECT NULL, 0, 0, NULL, coalesce(max(id), 0), 0, 0, 0, 0, 0, 0, array_agg(id)
FROM (SELECT id FROM guests_statechange ORDER BY id DESC LIMIT {RECENT_IDS}) AS recent
"""  # noqa: S608 (no input)
# The measures in the order of its columns.
MEASURES = (REQUESTS, "pending", "refused", "dead", ON_LIST, WAITING, CHECKED_IN)
# Those that are also counted by minute.
BY_MINUTE = {REQUESTS, ON_LIST}

# `since` and `before` are aggregates, so that PostgreSQL uses the index by guest.
ADD_CHANGES = f"""
WITH line AS (
    SELECT * FROM guests_statechange WHERE id > %(seen)s
    UNION ALL
    SELECT * FROM guests_statechange WHERE id = ANY(%(gaps)s)
)
SELECT
    coalesce(guest.event_id, request.event_id),
    coalesce(guest.promoter_id, request.promoter_id, 0),
    line.guest_id IS NULL,
    CASE line.from_state WHEN 'leaving' THEN earlier.state ELSE line.from_state END,
    line.to_state,
    {MINUTE.format(at="coalesce(request.accepted_at, line.at)")},
    {MINUTE.format(at="earlier.at")},
    count(*),
    array_agg(line.id)
FROM line
LEFT JOIN guests_guest AS guest ON guest.id = line.guest_id
LEFT JOIN guests_guestrequest AS request ON request.id = line.request_id
LEFT JOIN LATERAL (
    SELECT max(at) AS at, (array_agg(to_state ORDER BY id DESC))[1] AS state
    FROM guests_statechange
    WHERE guest_id = line.guest_id AND id < line.id AND to_state IN ('on_list', 'waiting')
        AND line.from_state IN ('on_list', 'waiting', 'leaving')
) AS earlier ON true
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""  # noqa: S608 (no input)


@dataclass
class EventCounts:
    """The counts of one event."""

    # By measure: requests, pending, refused, dead, on_list, waiting, checked_in.
    totals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    # By promoter's id, NO_PROMOTER without one, and by measure.
    promoters: dict[int, dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    # Of requests, when they were accepted, and of guests on the list, when they got their place.
    minutes: dict[str, dict[int, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )

    def add(self, measure: str, promoter: int, size: int) -> None:
        self.totals[measure] += size
        self.promoters[promoter][measure] += size

    def add_minute(self, measure: str, minute: int | None, size: int) -> None:
        if minute is not None and measure in BY_MINUTE:
            self.minutes[measure][minute] += size

    def copy(self) -> "EventCounts":
        return EventCounts.from_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {"totals": self.totals, "promoters": self.promoters, "minutes": self.minutes}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        counts = cls()
        counts.totals.update(values["totals"])
        for promoter, by_measure in values["promoters"].items():
            counts.promoters[int(promoter)].update(by_measure)
        for measure, by_minute in values["minutes"].items():
            numbers = {int(minute): size for minute, size in by_minute.items()}
            counts.minutes[measure].update(numbers)
        return counts


@dataclass
class Tally:
    """The counts of some events, and the part of the history that they contain."""

    events: dict[int, EventCounts] = field(default_factory=dict)
    # The last id of the history that is counted.
    seen: int = 0
    # The ids before it that were missing, each with the time when that was noticed.
    gaps: dict[int, float] = field(default_factory=dict)
    # When all was counted, and the seconds that it took.
    counted_at: float = 0
    seconds: float = 0
    # The history alone did not tell what a change meant: all has to be counted again.
    is_doubtful: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "form": FORM,
            "events": {pk: counts.to_json() for pk, counts in self.events.items()},
            "seen": self.seen,
            "gaps": self.gaps,
            "counted_at": self.counted_at,
            "seconds": self.seconds,
            "is_doubtful": self.is_doubtful,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self | None:
        """Return the stored tally, or None for the form of another release."""
        if values.get("form") != FORM:
            return None
        events = {}
        for pk, counts in values["events"].items():
            events[int(pk)] = EventCounts.from_json(counts)
        return cls(
            events=events,
            seen=values["seen"],
            gaps={int(pk): since for pk, since in values["gaps"].items()},
            counted_at=values["counted_at"],
            seconds=values["seconds"],
            is_doubtful=values["is_doubtful"],
        )


def count_all(event_ids: Sequence[int], *, now: float) -> Tally:
    """Count all requests and guests of some events. One query, about 0.15 s for 100,000 guests.

    `now`: seconds since 1970, by the database's clock.
    """
    tally = Tally({pk: EventCounts() for pk in event_ids}, counted_at=now)
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ALL, {"events": list(event_ids)})
        for event_id, is_by_minute, promoter, minute, *sizes, ids in cursor.fetchall():
            if event_id is None:
                tally.seen = sizes[0]
                note_gaps(tally, min(ids or [1]) - 1, ids or [], now=now)
                continue
            counts = tally.events[event_id]
            for measure, size in zip(MEASURES, sizes, strict=True):
                if size and is_by_minute:
                    counts.add_minute(measure, minute, size)
                elif size:
                    counts.add(measure, promoter, size)
    return tally


def add_changes(tally: Tally, *, now: float) -> Tally:
    """Return the tally with the lines of the history that it does not contain yet. One query.

    It is the given one if there are none. Otherwise the given tally and its counts stay as they
    are: other threads may read them.
    """
    changed = replace(tally, events=dict(tally.events), gaps=dict(tally.gaps))
    copies: dict[int, EventCounts] = {}
    ids: list[int] = []
    with connection.cursor() as cursor:
        cursor.execute(ADD_CHANGES, {"seen": tally.seen, "gaps": list(tally.gaps)})
        for event_id, *change, group_ids in cursor.fetchall():
            ids.extend(group_ids)
            if event_id not in tally.events:
                continue
            if event_id not in copies:
                copies[event_id] = tally.events[event_id].copy()
            if not _add_change(copies[event_id], *change):
                changed.is_doubtful = True
    if not ids and not tally.gaps:
        return tally
    changed.events.update(copies)
    changed.seen = max([tally.seen, *ids])
    note_gaps(changed, tally.seen, ids, now=now)
    return changed


def note_gaps(tally: Tally, start: int, ids: Iterable[int], *, now: float) -> None:
    """Note the ids after `start` that are missing, and forget those that were found or are old."""
    found = set(ids)
    for pk in range(max(start, tally.seen - RECENT_IDS) + 1, tally.seen + 1):
        if pk not in found:
            tally.gaps[pk] = now
    for pk, since in list(tally.gaps.items()):
        if pk in found or now - since > GAP_SECONDS:
            del tally.gaps[pk]


def _add_change(
    counts: EventCounts,
    promoter: int,
    is_request: bool,
    before: str,
    after: str,
    minute: int,
    since: int | None,
    size: int,
) -> bool:
    """Add changes of one kind. Return whether the history says what they mean."""
    if is_request:
        _add_request_change(counts, promoter, before, after, minute, size)
    elif before == CHECKED_IN:
        # The check-in was undone, or a guest who had arrived was cancelled.
        return False
    elif after == CHECKED_IN:
        counts.add(CHECKED_IN, promoter, size)
    elif after not in {LEAVING, before}:
        _move_guests(counts, promoter, before, after, minute, since, size)
    return True


def _add_request_change(
    counts: EventCounts, promoter: int, before: str, after: str, minute: int, size: int
) -> None:
    if not before:
        counts.add(REQUESTS, promoter, size)
        counts.add_minute(REQUESTS, minute, size)
    if before in REQUEST_STATES:
        counts.add(before, promoter, -size)
    if after in REQUEST_STATES:
        counts.add(after, promoter, size)


def _move_guests(
    counts: EventCounts,
    promoter: int,
    before: str,
    after: str,
    minute: int,
    since: int | None,
    size: int,
) -> None:
    if before in PLACES:
        counts.add(before, promoter, -size)
        counts.add_minute(before, since, -size)
    if after in PLACES:
        counts.add(after, promoter, size)
        counts.add_minute(after, minute, size)
