"""Events as they were last seen: what their pages are made of while the database is away."""

import logging
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


def remember(event: Event) -> None:
    """Keep an event and its promoters on this host's disk, at most every 30 s. Two queries."""
    now = monotonic()
    if now < _taken_at.get(event.slug, -FRESH_FOR) + FRESH_FOR:
        return
    if len(_taken_at) >= MAX_REMEMBERED:
        _taken_at.clear()
    _taken_at[event.slug] = now
    at_event = list(EventPromoter.objects.filter(event=event).select_related("promoter", "team"))
    related: list[Model] = [row.promoter for row in at_event]
    related += [row.team for row in at_event if row.team]
    rows: list[Model] = [event, *related, *at_event]
    try:
        the_journal().remember_event(event.slug, {"rows": serializers.serialize("json", rows)})
    except JournalError:
        log.warning("event_not_remembered", extra={"event_id": event.pk})


def recall(slug: str, promoter_code: str) -> tuple[Event, Promoter | None, Team | None] | None:
    """Return an event as last seen, and the promoter of a code, without asking the database.

    None for an event that this host has not seen. Raises GuestError `promoter_not_at_event`, and
    JournalError.
    """
    body = the_journal().recall_event(slug)
    if body is None:
        return None
    rows: list[Any] = [row.object for row in serializers.deserialize("json", body["rows"])]
    event = next(row for row in rows if isinstance(row, Event))
    if not promoter_code:
        return event, None, None
    promoters = {row.pk: row for row in rows if isinstance(row, Promoter)}
    teams = {row.pk: row for row in rows if isinstance(row, Team)}
    for row in rows:
        if isinstance(row, EventPromoter) and promoters[row.promoter_id].code == promoter_code:
            return event, promoters[row.promoter_id], teams.get(row.team_id or 0)
    raise GuestError("promoter_not_at_event")


def recall_all() -> list[Event]:
    """Return every event that this host has seen, the next one first. Raises JournalError."""
    bodies = the_journal().recall_events()
    events: list[Event] = [
        row.object
        for body in bodies
        for row in serializers.deserialize("json", body["rows"])
        if isinstance(row.object, Event)
    ]
    return sorted(events, key=lambda event: event.starts_at)
