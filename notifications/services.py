"""Queue emails. `sending` sends the emails that are due.

The queue is the table; a message to the worker only wakes it.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from notifications.kinds import require_known
from notifications.models import Email
from notifications.recipients import RECENT_COUNT, recipient_key
from snap.observability.context import LogContext, current
from snap.resilience.wakeup import WakeUp

log = logging.getLogger(__name__)

# Seconds between two messages of a process that wake a worker for codes.
CODES_WAKE_UP_INTERVAL = 0.1

wake_emails_worker = WakeUp(
    "notifications.tasks.send_emails", interval=settings.EMAILS_WAKE_UP_INTERVAL
)
wake_codes_worker = WakeUp("notifications.tasks.send_codes", interval=CODES_WAKE_UP_INTERVAL)

# Staff can send emails in these states again.
REQUEUEABLE_STATES = (Email.State.DEAD, Email.State.BOUNCED, Email.State.CANCELLED)

# What a row forgets about its last sending when the email is queued again. Staff who send it again
# also say that a lost response does not matter. `sent_at` stays: somebody may have read it.
UNSENT: dict[str, Any] = {
    "provider": "",
    "provider_id": "",
    "unsure_provider": "",
    "error": "",
    "delivered_at": None,
    "opened_at": None,
    "bounced_at": None,
    "complained_at": None,
}

# The error of an email that was cancelled because of EMAILS_PER_RECIPIENT.
TOO_MANY_FOR_RECIPIENT = "too_many_for_recipient"


@dataclass(frozen=True)
class EmailToQueue:
    """An email for the queue. `fast` is for codes: they have workers and connections of their own.

    `by_stranger` marks an email that a visitor without proof of the address can cause. After
    EMAILS_PER_RECIPIENT of them in an hour, or twice as many if a challenge was `solved`, it is
    stored as cancelled. Not for emails that people wait for: QR codes, sign-in codes of proven
    accounts, warnings. `context` is what caused it, by default what this process does now.
    """

    kind: str
    cause: str
    to: str
    language: str
    fast: bool = False
    by_stranger: bool = False
    solved: bool = False
    context: LogContext = field(default_factory=current)


def queue_email(
    kind: str,
    cause: str,
    *,
    to: str,
    language: str,
    fast: bool = False,
    by_stranger: bool = False,
    solved: bool = False,
) -> None:
    """Queue one email, as `queue_emails` does."""
    queue_emails([EmailToQueue(kind, cause, to, language, fast, by_stranger, solved)])


def queue_emails(emails: Iterable[EmailToQueue]) -> None:
    """Queue emails, to be sent after the commit of the surrounding transaction.

    An email whose kind and cause are in the table already is left as it is. One INSERT, and one
    more for each email `by_stranger`. Raises LookupError for an unknown kind.
    """
    rows = []
    # All batches have one order, so that two batches with common rows wait and do not deadlock.
    ordered = sorted(emails, key=lambda email: (email.kind, email.cause))
    for email in ordered:
        require_known(email.kind)
        if not email.by_stranger:
            rows.append(_row(email))
    if rows:
        Email.objects.bulk_create(rows, ignore_conflicts=True)
    for email in ordered:
        if email.by_stranger:
            _queue_within_limit(email)
    if any(email.fast for email in ordered):
        transaction.on_commit(wake_codes_worker, robust=True)
    if not all(email.fast for email in ordered):
        transaction.on_commit(wake_emails_worker, robust=True)


def _row(email: EmailToQueue) -> Email:
    return Email(
        kind=email.kind,
        cause=email.cause,
        to=email.to,
        language=email.language,
        fast=email.fast,
        request_id=email.context.request_id,
        ticket_id=email.context.ticket_id,
        traceparent=email.context.traceparent,
    )


QUEUE_SELECTED = """
INSERT INTO notifications_email (
    kind, cause, "to", recipient, by_stranger, language, fast, attempts, provider_id, state, error,
    request_id, ticket_id, traceparent
)
SELECT kind, cause, "to", '', false, language, false, 0, '', 'queued', '', %s, %s, %s
FROM ({selected}) AS selected
ON CONFLICT DO NOTHING
"""


def queue_selected_emails(kind: str, selected: str, values: Sequence[Any]) -> int:
    """Queue the emails that a SELECT returns, in its order. Return how many are new.

    Its columns are `kind`, `cause`, `to` and `language`. One INSERT, so thousands of emails take
    less than a second. Raises LookupError for an unknown kind.
    """
    require_known(kind)
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_SELECTED.format(selected=selected), [*current(), *values])
        queued: int = cursor.rowcount
    if queued:
        transaction.on_commit(wake_emails_worker, robust=True)
    return queued


# The INSERT counts the recipient's emails itself, which saves a round trip. Every registration
# queues such an email: through the ORM this takes the process and PostgreSQL twice the time.
QUEUE_WITHIN_LIMIT = f"""
INSERT INTO notifications_email (
    kind, cause, "to", recipient, by_stranger, language, fast, attempts, provider_id, state, error,
    request_id, ticket_id, traceparent
)
SELECT
    %s, %s, %s, %s, true, %s, %s, 0, '',
    CASE WHEN number < %s THEN 'queued' ELSE 'cancelled' END,
    CASE WHEN number < %s THEN '' ELSE %s END,
    %s, %s, %s
FROM ({RECENT_COUNT}) AS counted
ON CONFLICT DO NOTHING
"""  # noqa: S608


def _queue_within_limit(email: EmailToQueue) -> None:
    recipient = recipient_key(email.to)
    limit = settings.EMAILS_PER_RECIPIENT
    if email.solved:
        limit *= 2
    values: list[str | int] = [
        email.kind,
        email.cause,
        email.to,
        recipient,
        email.language,
        email.fast,
    ]
    values += [limit, limit, TOO_MANY_FOR_RECIPIENT, *email.context, recipient, limit]
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_WITHIN_LIMIT, values)


def requeue_emails(emails: QuerySet[Email], *, to: str | None = None) -> int:
    """Queue dead, bounced and cancelled emails again, with the address `to` if it is given.

    Return how many were queued. Emails in other states are left alone.
    """
    changes: dict[str, Any] = {}
    if to is not None:
        changes["to"] = to
    queued = emails.filter(state__in=REQUEUEABLE_STATES).update(
        state=Email.State.QUEUED,
        attempts=0,
        queued_at=Now(),
        next_attempt_at=Now(),
        leased_until=None,
        **UNSENT,
        **changes,
    )
    log.info("emails_requeued", extra={"emails": queued})
    transaction.on_commit(wake_codes_worker, robust=True)
    transaction.on_commit(wake_emails_worker, robust=True)
    return queued
