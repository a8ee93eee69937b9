"""Changes of events that matter to the people who have a place: cancelled, moved, reinstated.

The database itself records each change (migration 0008): who, when, from and to, the revision of
the calendar file, and when and where the event was before. These functions save a change and tell
the holders. Cached promo links show it after LINK_SECONDS at the latest.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from guests.actor import acting_as
from guests.models import Event, Guest
from guests.requests.accepting import wake_guests_worker
from guests.requests.pushes import push_event_changed
from notifications.models import Email
from notifications.services import requeue_emails

log = logging.getLogger(__name__)

# The fields of an event that its holders see, or that decide how their places stand.
HOLDER_FIELDS = frozenset(
    {
        "title",
        "slug",
        "description",
        "venue",
        "address",
        "poster",
        "time_zone",
        "starts_at",
        "ends_at",
        "waiting_list_ends_at",
        "cancelled_at",
        "requires_proof",
        "is_published",
    }
)
EMAILS_BATCH = 1000


@dataclass(frozen=True)
class Change:
    """What a change of an event means to its holders."""

    is_cancelled: bool = False
    is_reinstated: bool = False
    is_moved: bool = False


def change_event(event: Event, fields: Iterable[str], *, acting_user: User) -> Change:
    """Save some fields of an event that is in the database, and tell its holders after the commit.

    Holders are told when one of HOLDER_FIELDS is among them. Return what the change means to them.
    The event then has its new revision. Three statements.
    """
    names = set(fields)
    with acting_as(acting_user):
        before = Event.objects.locked(event.pk).get()
        change = _compare(before, event)
        if names:
            event.save(update_fields=names)
        event.refresh_from_db(fields=["sequence", "changed_at", "moves"])
        if names & HOLDER_FIELDS:
            notify_holders(event, change)
    return change


def cancel_event(event: Event, *, acting_user: User) -> bool:
    """Cancel an event. Its places stay, and count again if it is reinstated.

    Requests that are pending end with the refusal `event_cancelled`. QR emails that are not sent
    yet are not sent. Return False for an event that is cancelled already. Not for use inside a
    transaction.
    """
    return _set_cancelled(event, is_cancelled=True, acting_user=acting_user)


def reinstate_event(event: Event, *, acting_user: User) -> bool:
    """Let a cancelled event take place. Return False for one that is not cancelled.

    The places count again, and QR emails that were not sent for the cancelled event are sent. Not
    for use inside a transaction.
    """
    return _set_cancelled(event, is_cancelled=False, acting_user=acting_user)


def _set_cancelled(event: Event, *, is_cancelled: bool, acting_user: User) -> bool:
    rows = Event.objects.filter(pk=event.pk, cancelled_at__isnull=is_cancelled)
    with acting_as(acting_user):
        if not rows.update(cancelled_at=Now() if is_cancelled else None):
            return False
        event.refresh_from_db(fields=["cancelled_at", "sequence", "changed_at"])
        notify_holders(event, Change(is_cancelled=is_cancelled, is_reinstated=not is_cancelled))
    log.warning(
        "event_cancelled" if is_cancelled else "event_reinstated", extra={"event_id": event.pk}
    )
    return True


def _compare(before: Event, after: Event) -> Change:
    return Change(
        is_cancelled=before.cancelled_at is None and after.cancelled_at is not None,
        is_reinstated=before.cancelled_at is not None and after.cancelled_at is None,
        is_moved=not before.appointment.reads_like(after.appointment),
    )


def notify_holders(event: Event, change: Change) -> None:
    """Tell the people who have a place at an event that it has changed, after the commit.

    Their open pages load again. The one place to queue emails about changes of events.
    """
    push_event_changed(event.pk)
    transaction.on_commit(wake_guests_worker, robust=True)
    if change.is_reinstated:
        transaction.on_commit(lambda: _send_withheld_emails(event), robust=True)


def _send_withheld_emails(event: Event) -> None:
    """Queue the QR emails again that were not sent because the event was cancelled."""
    on_list = Guest.objects.filter(event=event, state=Guest.State.ON_LIST).order_by("pk")
    causes = []
    for guest_id, listings in on_list.values_list("pk", "listings").iterator():
        causes.append(f"guest:{guest_id}/{listings}")
    cancelled = Email.objects.filter(kind="qr_code", state=Email.State.CANCELLED)
    for start in range(0, len(causes), EMAILS_BATCH):
        requeue_emails(cancelled.filter(cause__in=causes[start : start + EMAILS_BATCH]))
