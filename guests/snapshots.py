"""Events as they were last seen: what their pages are made of while the database is away."""

import logging
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django.core import serializers
from django.db.models import Model

from .errors import GuestError
from .journal import JournalError, the_journal
from .models import Event, EventPromoter, Promoter, Team

log = logging.getLogger(__name__)

# Seconds a snapshot may be old before a page that has the event at hand takes a new one.
FRESH_FOR = 30.0
MAX_REMEMBERED = 1000

_taken_at: dict[str, float] = {}


@dataclass(frozen=True)
class Snapshot:
    """An event and those who promote it."""

    event: Event
    at_event: list[EventPromoter]

    def find_promoter(
        self, *, code: str = "", promoter_id: int | None = None, team_id: int | None = None
    ) -> tuple[Promoter | None, Team | None]:
        """Do what services.find_promoter does, without the database."""
        if not code and promoter_id is None and team_id is None:
            return None, None
        for row in self.at_event:
            named = row.promoter.code == code if code else row.promoter_id == promoter_id
            if named and team_id in {None, row.team_id}:
                return row.promoter, row.team
        raise GuestError("promoter_not_at_event")


def remember(event: Event) -> None:
    """Keep an event and its promoters on this host's disk, at most every 30 s. One query then."""
    now = monotonic()
    if now < _taken_at.get(event.slug, -FRESH_FOR) + FRESH_FOR:
        return
    if len(_taken_at) >= MAX_REMEMBERED:
        _taken_at.clear()
    _taken_at[event.slug] = now
    at_event = list(EventPromoter.objects.filter(event=event).select_related("promoter", "team"))
    rows: list[Model] = [event, *at_event, *(row.promoter for row in at_event)]
    rows += [row.team for row in at_event if row.team]
    try:
        the_journal().remember_event(event.slug, serializers.serialize("json", rows))
    except JournalError:
        log.warning("event_not_remembered", extra={"event_id": event.pk})


def recall(slug: str) -> Snapshot | None:
    """Return an event as this host last saw it, or None. Raises JournalError."""
    body = the_journal().recall_event(slug)
    return _read(body) if body else None


def recall_all() -> list[Snapshot]:
    """Return every event that this host has seen, the next one first. Raises JournalError."""
    snapshots = [_read(body) for body in the_journal().recall_events()]
    return sorted(snapshots, key=lambda snapshot: snapshot.event.starts_at)


def _read(body: str) -> Snapshot:
    rows: list[Any] = [row.object for row in serializers.deserialize("json", body)]
    by_key = {(type(row), row.pk): row for row in rows}
    at_event = [row for row in rows if isinstance(row, EventPromoter)]
    for row in at_event:
        row.promoter = by_key[Promoter, row.promoter_id]
        row.team = by_key[Team, row.team_id] if row.team_id else None
    return Snapshot(next(row for row in rows if isinstance(row, Event)), at_event)
