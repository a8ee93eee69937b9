"""Queue the reminders of events that begin in the next day."""

from collections.abc import Callable
from datetime import timedelta

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from guests.models import Event
from guests.news.emails import night_of
from guests.news.recipients import PLACED_AT, REACHABLE
from notifications.services import queue_selected_emails

# Reminders go out from this long before the start of an event until that long before it.
FIRST = timedelta(hours=24)
LAST = timedelta(hours=2)
# The hours of the day, in the zone of the event, at which reminders go out.
FROM_HOUR, TO_HOUR = 9, 21
# Reminders that one statement queues.
BATCH = 1000

# A guest who got the place within FIRST of the start has just had an email about it.
UNREMINDED = f"""
SELECT 'reminder' AS kind, cause, account.email AS "to", account.language
FROM guests_guest AS guest
JOIN accounts_user AS account ON account.id = guest.account_id
CROSS JOIN LATERAL (
    SELECT 'guest:' || guest.id || '/' || guest.listings || '/' || %s::text AS cause
) AS reminder
WHERE guest.event_id = %s AND guest.state = 'on_list'
AND guest.leaves_at IS NULL AND guest.checked_in_at IS NULL
AND {PLACED_AT} <= %s
AND (account.verified_at IS NOT NULL OR NOT %s)
AND {REACHABLE}
AND NOT EXISTS (
    SELECT FROM notifications_email AS email
    WHERE email.kind = 'reminder' AND email.cause = reminder.cause
)
ORDER BY guest.queue_number LIMIT %s
"""  # noqa: S608


def queue_reminders(is_stopping: Callable[[], bool], *, batch_size: int = BATCH) -> int:
    """Queue the reminders that are due, a batch in each transaction. Return how many."""
    queued = 0
    for event in events_to_remind_of():
        batch = batch_size
        while batch == batch_size and not is_stopping():
            batch = _queue_batch(event, batch_size)
            queued += batch
    return queued


def events_to_remind_of() -> list[Event]:
    """Return the events whose guests are reminded now. One query.

    An event that has changed waits until its guests were told of that.
    """
    events: QuerySet[Event] = Event.objects.with_database_time().filter(
        sends_reminder=True,
        is_published=True,
        cancelled_at=None,
        told_sequence=F("sequence"),
        starts_at__gt=Now() + LAST,
        starts_at__lte=Now() + FIRST,
    )
    return [event for event in events.order_by("starts_at", "pk") if is_daytime(event)]


def is_daytime(event: Event) -> bool:
    """Return whether reminders may go out where the event is, at the time of its read."""
    return FROM_HOUR <= event.database_now.astimezone(event.zone).hour < TO_HOUR


def _queue_batch(event: Event, size: int) -> int:
    last_placed_at = event.starts_at - FIRST
    values = [night_of(event), event.pk, last_placed_at, event.requires_proof, size]
    return queue_selected_emails("reminder", UNREMINDED, values)
