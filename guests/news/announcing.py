"""Tell the holders of places by email that their event was cancelled, changed or reinstated.

The database counts the changes of an event (`Event.sequence`). When the last one is old enough, the
sweeper queues an email for each guest who knows the event in another state than its present one,
and notes up to which change they were told. What a guest knows is what the last such email told
them, or else what the event was like when they got their place. So a change that was undone in time
reaches nobody, and a guest who came after the change gets no email.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from guests.models import Event, EventNews, Guest, news_cause
from guests.news.recipients import PLACED_AT, REACHABLE
from guests.news.states import EventHistory, EventState, read_changes, texts_of
from notifications.services import queue_selected_emails

log = logging.getLogger(__name__)

# Guests whose emails one statement queues: a statement of twice as many takes well under a second.
GUESTS_BATCH = 2000
# The first key of the advisory locks under which the holders of an event are told. The second key
# is the event's id.
NEWS_LOCK = 0x534E4154


def announce_changes(must_stop: Callable[[], bool]) -> None:
    """Queue the emails about all events that have changed and whose holders are not told yet."""
    for event_id in events_with_news().values_list("pk", flat=True):
        if must_stop():
            return
        announce(event_id)


def events_with_news() -> QuerySet[Event]:
    """Return events that have changed, and not since. Events that are over have no news."""
    is_settled = Q(cancelled_at=None, changed_at__lte=_ago(settings.EVENT_NEWS_DELAY))
    is_settled |= Q(
        cancelled_at__isnull=False, changed_at__lte=_ago(settings.EVENT_CANCELLED_DELAY)
    )
    untold = Event.objects.exclude(told_sequence=F("sequence"))
    return untold.filter(is_settled, ends_at__gt=Now()).order_by("pk")


def _ago(seconds: float) -> Any:
    return Now() - timedelta(seconds=seconds)


@transaction.atomic
def announce(event_id: int) -> int:
    """Queue the emails about an event's changes, all or none. Return how many.

    0 while another process does so, and when the event changes meanwhile: the change is told later.
    """
    if not _lock(event_id):
        return 0
    changes = read_changes([event_id])
    event = Event.objects.get(pk=event_id)
    history = EventHistory(event, changes[event_id])
    emails = 0
    if event.told_sequence != event.sequence:
        emails = _queue(event, history)
    # The event's row is locked for this statement only, so workers go on giving places.
    rows = Event.objects.filter(pk=event_id, sequence=event.sequence)
    if not rows.update(told_sequence=event.sequence):
        transaction.set_rollback(True)
        return 0
    if emails:
        EventNews.objects.create(
            event=event, sequence=event.sequence, state=texts_of(event), emails=emails
        )
        log.info("event_news_queued", extra={"event_id": event_id, "emails": emails})
    return emails


def _lock(event_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [NEWS_LOCK, event_id])
        (is_locked,) = cursor.fetchone()
    return bool(is_locked)


# `told` is the last email about a change that has reached the guest, or that may be on its way.
UNINFORMED = f"""
SELECT %s AS kind, %s || guest.id AS cause, account.email AS "to", account.language
FROM guests_guest AS guest
JOIN accounts_user AS account ON account.id = guest.account_id
LEFT JOIN LATERAL (
    SELECT email.state, coalesce(email.sent_at, email.queued_at) AS at, news.is_present
    FROM unnest(%s::text[], %s::boolean[]) WITH ORDINALITY AS news (cause, is_present, number)
    JOIN notifications_email AS email ON email.kind IN ('event_changed', 'event_cancelled')
        AND email.cause = news.cause || guest.id
    WHERE email.state IN ('sent', 'delivered', 'opened', 'complained')
        OR email.state = 'queued'
            AND (email.leased_until IS NOT NULL OR email.unsure_provider <> '')
    ORDER BY news.number DESC LIMIT 1
) AS told ON true
WHERE guest.id = ANY(%s) AND guest.state <> 'cancelled' AND {REACHABLE}
AND CASE
    WHEN told.state = 'queued' THEN true
    WHEN told.at >= {PLACED_AT} THEN NOT told.is_present
    ELSE EXISTS (
        SELECT FROM unnest(%s::timestamptz[], %s::timestamptz[]) AS outdated (began_at, ended_at)
        WHERE {PLACED_AT} >= began_at AND {PLACED_AT} < ended_at
    )
END
ORDER BY guest.state, guest.queue_number
"""  # noqa: S608


def _queue(event: Event, history: EventHistory) -> int:
    """Queue an email for each guest who knows another state, those with a place first."""
    guests = Guest.objects.filter(event=event).exclude(state=Guest.State.CANCELLED)
    # "on_list" comes before "waiting".
    guest_ids = list(guests.order_by("state", "queue_number").values_list("pk", flat=True))
    kind = "event_changed"
    if history.present.is_cancelled:
        kind = "event_cancelled"
    before, after = _values(event, history, kind)
    emails = 0
    for start in range(0, len(guest_ids), GUESTS_BATCH):
        batch = guest_ids[start : start + GUESTS_BATCH]
        emails += queue_selected_emails(kind, UNINFORMED, [*before, batch, *after])
    return emails


def count_uninformed(event: Event) -> int:
    """Return how many guests get an email about the changes of an event once they settle."""
    event = Event.objects.with_database_time().get(pk=event.pk)
    if event.told_sequence == event.sequence or event.is_over():
        return 0
    history = EventHistory(event, read_changes([event.pk])[event.pk])
    before, after = _values(event, history, "event_changed")
    guests = Guest.objects.filter(event=event).exclude(state=Guest.State.CANCELLED)
    guest_ids = list(guests.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        counted = f"SELECT count(*) FROM ({UNINFORMED}) AS uninformed"  # noqa: S608
        cursor.execute(counted, [*before, guest_ids, *after])
        (number,) = cursor.fetchone()
    return int(number)


def _values(event: Event, history: EventHistory, kind: str) -> tuple[list[Any], list[Any]]:
    """Return the values of UNINFORMED before and after the ids of guests. One query."""
    earlier, are_present = _earlier_news(event, history.present)
    periods = history.outdated_periods()
    began_at = [began_at for began_at, _ended_at in periods]
    ended_at = [ended_at for _began_at, ended_at in periods]
    cause = news_cause(event.pk, event.sequence, "")
    return [kind, cause, earlier, are_present], [began_at, ended_at]


def _earlier_news(event: Event, present: EventState) -> tuple[list[str], list[bool]]:
    """Return the causes of earlier news, the oldest first, and whether each says the same."""
    causes = []
    are_present = []
    for news in EventNews.objects.filter(event=event).order_by("sequence"):
        causes.append(news_cause(event.pk, news.sequence, ""))
        are_present.append(EventState.from_texts(news.state).says_the_same_as(present))
    return causes, are_present
