"""Events as they were last seen: what their pages are made of while the database is away."""

import logging
from dataclasses import dataclass
from typing import Any

from django.core import serializers
from django.db.models import Model

from guests.emergency.journal import JournalError, get_journal
from guests.models import Event, EventPromoter, Promoter, Team
from guests.requests.attribution import choose_promoter
from snap.local_cache import LocalCache

log = logging.getLogger(__name__)

# Seconds a snapshot may be old before a page that has the event at hand takes a new one.
FRESH_FOR = 30.0
# Slugs of the events that this process has saved within FRESH_FOR seconds.
_saved: LocalCache[str, str] = LocalCache(size=1000, seconds=lambda: FRESH_FOR)


@dataclass(frozen=True)
class Snapshot:
    """An event and those who promote it."""

    event: Event
    at_event: list[EventPromoter]

    def find_promoter(
        self, *, code: str = "", promoter_id: int | None = None, team_id: int | None = None
    ) -> tuple[Promoter | None, Team | None]:
        """Do what services.find_promoter does, without the database."""
        return choose_promoter(self.at_event, code=code, promoter_id=promoter_id, team_id=team_id)


def save_event(event: Event) -> None:
    """Keep an event and its promoters on this host's disk, at most every 30 s. One query then."""
    if not _saved.add(event.slug, "saved"):
        return
    promoters = EventPromoter.objects.filter(event=event).select_related("promoter", "team")
    at_event = list(promoters.order_by("pk"))
    rows: list[Model] = [event, *at_event, *(row.promoter for row in at_event)]
    rows += [row.team for row in at_event if row.team]
    try:
        get_journal().remember_event(event.slug, serializers.serialize("json", rows))
    except JournalError:
        log.warning("event_not_remembered", extra={"event_id": event.pk})


def save_listed_events() -> None:
    """Keep every listed event, seen here or not, and forget those that are no longer published."""
    for event in Event.objects.listed():
        save_event(event)
    journal = get_journal()
    seen = journal.event_slugs()
    published = Event.objects.published().filter(slug__in=seen).values_list("slug", flat=True)
    for slug in seen.difference(published):
        journal.forget_event(slug)


def load_event(slug: str) -> Snapshot:
    """Return an event as this host last saw it. Raises JournalError when it never did."""
    body = get_journal().recall_event(slug)
    if body is None:
        raise JournalError("the event was never seen here")
    return _read(body)


def load_event_by_id(event_id: int) -> Snapshot:
    """Return an event as this host last saw it. Raises JournalError when it never did."""
    for snapshot in _load_all():
        if snapshot.event.pk == event_id:
            return snapshot
    raise JournalError("the event was never seen here")


def load_listed_events() -> list[Event]:
    """Return what `Event.objects.listed()` does, of the events that this host has seen.

    Raises JournalError.
    """
    events = [seen.event for seen in _load_all()]
    ahead = [event for event in events if event.is_published and not event.is_over()]
    return sorted(ahead, key=lambda event: (event.starts_at, event.pk))


def _load_all() -> list[Snapshot]:
    return [_read(body) for body in get_journal().recall_events()]


def _read(body: str) -> Snapshot:
    rows: list[Any] = [row.object for row in serializers.deserialize("json", body)]
    by_key = {(type(row), row.pk): row for row in rows}
    at_event = [row for row in rows if isinstance(row, EventPromoter)]
    for row in at_event:
        row.promoter = by_key[Promoter, row.promoter_id]
        row.team = by_key[Team, row.team_id] if row.team_id else None
    return Snapshot(next(row for row in rows if isinstance(row, Event)), at_event)
