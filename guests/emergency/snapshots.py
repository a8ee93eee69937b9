"""Copies of events and their promoters on this host's disk, for pages without the database."""

import logging
from dataclasses import dataclass
from typing import Any

from django.core import serializers
from django.db.models import Model
from django.utils import timezone

from guests.emergency.journal import JournalError, get_journal
from guests.models import Event, EventPromoter, Promoter, Team
from guests.requests.attribution import choose_promoter
from snap.local_cache import LocalCache

log = logging.getLogger(__name__)

# A page that has loaded an event saves a new snapshot when the last one is older than this.
SNAPSHOT_SECONDS = 30.0
# Slugs of the events that this process has saved within SNAPSHOT_SECONDS.
_saved: LocalCache[str, str] = LocalCache(size=1000, seconds=lambda: SNAPSHOT_SECONDS)


@dataclass(frozen=True)
class Snapshot:
    """An event and the promoters who work at it."""

    event: Event
    at_event: list[EventPromoter]

    def find_promoter(
        self, *, code: str = "", promoter_id: int | None = None, team_id: int | None = None
    ) -> tuple[Promoter | None, Team | None]:
        """Return what `accepting.find_promoter` returns, without the database.

        Raises GuestError `promoter_not_at_event`.
        """
        return choose_promoter(self.at_event, code=code, promoter_id=promoter_id, team_id=team_id)


def save_event(event: Event) -> None:
    """Save an event and its promoters on this host's disk, unless a recent snapshot is there.

    One query, or none within SNAPSHOT_SECONDS of the last one. A disk error is only logged.
    """
    if not _saved.add(event.slug, "saved"):
        return
    promoters = EventPromoter.objects.filter(event=event).select_related("promoter", "team")
    rows: list[Model] = [event]
    for at_event in promoters.order_by("pk"):
        rows += [at_event, at_event.promoter]
        if at_event.team:
            rows.append(at_event.team)
    try:
        get_journal().save_snapshot(event.slug, serializers.serialize("json", rows))
    except JournalError:
        log.warning("snapshot_not_saved", extra={"event_id": event.pk})


def save_listed_events() -> None:
    """Save all listed events, and delete the snapshots of events that are no longer published.

    Two queries, and one more for each event without a recent snapshot. Raises JournalError.
    """
    for event in Event.objects.listed():
        save_event(event)
    journal = get_journal()
    saved = journal.snapshot_slugs()
    published = Event.objects.published().filter(slug__in=saved).values_list("slug", flat=True)
    for slug in saved.difference(published):
        journal.delete_snapshot(slug)


def load_event(slug: str) -> Snapshot:
    """Return the last snapshot of an event. Raises JournalError when this host has none."""
    body = get_journal().load_snapshot(slug)
    if body is None:
        raise JournalError("this host has no snapshot of the event")
    return _deserialize(body)


def load_event_by_id(event_id: int) -> Snapshot:
    """Return the last snapshot of an event. Raises JournalError when this host has none."""
    for snapshot in _load_all():
        if snapshot.event.pk == event_id:
            return snapshot
    raise JournalError("this host has no snapshot of the event")


def load_listed_events() -> list[Event]:
    """Return the events of `Event.objects.listed()` that this host has snapshots of.

    Raises JournalError.
    """
    listed = []
    for snapshot in _load_all():
        event = snapshot.event
        if event.is_published and not event.is_over():
            listed.append(event)
    return sorted(listed, key=lambda event: (event.starts_at, event.pk))


def _load_all() -> list[Snapshot]:
    return [_deserialize(body) for body in get_journal().load_snapshots()]


def _deserialize(body: str) -> Snapshot:
    events: list[Event] = []
    at_event: list[EventPromoter] = []
    by_key: dict[tuple[type[Model], Any], Any] = {}
    # A process of the next release, on the same host during a deployment, may have more fields.
    for deserialized in serializers.deserialize("json", body, ignorenonexistent=True):
        row = deserialized.object
        by_key[type(row), row.pk] = row
        if isinstance(row, Event):
            row.database_now = timezone.now()
            events.append(row)
        elif isinstance(row, EventPromoter):
            at_event.append(row)
    for event_promoter in at_event:
        event_promoter.promoter = by_key[Promoter, event_promoter.promoter_id]
        event_promoter.team = by_key.get((Team, event_promoter.team_id))
    return Snapshot(events[0], at_event)
