"""Queueing emails, and sending those that are due.

The row is the record and the message to the worker only a wake-up. Rows are claimed with a lease
in a short transaction; the sending happens outside of any, and each outcome is recorded at once:
what the provider answered first on this host's disk (`outcomes`), then in the row.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from notifications.delivery import Outcome, Result, deliver, provider
from notifications.kinds import require_known
from notifications.models import Email
from notifications.outcomes import KeptOutcomes
from notifications.recipients import COUNT, recipient_key
from snap.resilience.connections import deadline
from snap.resilience.wakeup import WakeUp

log = logging.getLogger(__name__)

wake_emails_worker = WakeUp(
    "notifications.tasks.send_emails", interval=settings.EMAILS_WAKE_UP_INTERVAL
)

# With the mail server away an email waits as long again as it has waited, within these bounds.
LONGEST_WAIT_FOR_SERVER = timedelta(seconds=60)

# The states from which staff may have an email sent once more.
GO_AGAIN = (Email.State.DEAD, Email.State.BOUNCED, Email.State.CANCELLED)

# The error of an email that was not sent because its recipient had enough.
TOO_MANY = "too_many_for_recipient"

# Emails that go out over one connection.
BATCH = 20

# What only the provider knows. An email with such an outcome must not be sent again.
ANSWERED = {Result.SENT, Result.REFUSED}

# Seconds that one write of an outcome may take, and seconds between two tries of it.
WRITE_SECONDS = 2.0
WRITE_PAUSE = 0.5

# How long an email whose lease ended is left to the worker that had it: that worker may know an
# outcome and write it as soon as the database is back. Longer than its pauses and the sweeper's.
TIME_TO_TELL = timedelta(seconds=10)

# So many emails in a row that the mail server would not take mean that it is away for all.
AWAY_FOR_ALL = 2


@dataclass(frozen=True)
class EmailToQueue:
    kind: str
    cause: str
    to: str
    language: str
    fast: bool = False
    # Anybody can cause it, without a proof that the address is theirs: past EMAILS_PER_RECIPIENT an
    # hour the row is kept, and the email is not sent. Not for what somebody waits for: a QR code, a
    # code to sign in to a proven account, a warning.
    by_stranger: bool = False
    # A challenge was solved for it: the recipient takes twice as many.
    solved: bool = False


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
    """Queue one email, once per kind and cause. Raise LookupError for an unknown kind."""
    queue_emails([EmailToQueue(kind, cause, to, language, fast, by_stranger, solved)])


def queue_emails(emails: Iterable[EmailToQueue]) -> None:
    """Queue emails in one INSERT; one whose kind and cause are there already is left as it is.

    They go out after the surrounding transaction's commit. Raise LookupError for an unknown kind.
    """
    # In one order everywhere, so that two batches with common rows wait instead of deadlocking.
    ordered = sorted(emails, key=lambda email: (email.kind, email.cause))
    if not ordered:
        return
    for kind in {email.kind for email in ordered}:
        require_known(kind)
    usual = [email for email in ordered if not email.by_stranger]
    if usual:
        Email.objects.bulk_create([_row(email) for email in usual], ignore_conflicts=True)
    for email in ordered:
        if email.by_stranger:
            _queue_unless_enough(email)
    transaction.on_commit(wake_emails_worker, robust=True)


def _row(email: EmailToQueue) -> Email:
    return Email(
        kind=email.kind,
        cause=email.cause,
        to=email.to,
        language=email.language,
        fast=email.fast,
    )


# Counted in the INSERT itself: no round trip of its own. Every registration queues such an email:
# put together by the ORM it cost the process and PostgreSQL twice as much.
QUEUE_UNLESS_ENOUGH = f"""
INSERT INTO notifications_email (
    kind, cause, "to", recipient, by_stranger, language, fast, attempts, provider_id, state, error
)
SELECT
    %s, %s, %s, %s, true, %s, %s, 0, '',
    CASE WHEN number < %s THEN 'queued' ELSE 'cancelled' END,
    CASE WHEN number < %s THEN '' ELSE %s END
FROM ({COUNT}) AS counted
ON CONFLICT DO NOTHING
"""  # noqa: S608


def _queue_unless_enough(email: EmailToQueue) -> None:
    recipient = recipient_key(email.to)
    limit = settings.EMAILS_PER_RECIPIENT * (2 if email.solved else 1)
    values: list[str | int] = [
        email.kind,
        email.cause,
        email.to,
        recipient,
        email.language,
        email.fast,
    ]
    values += [limit, limit, TOO_MANY, recipient, limit]
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_UNLESS_ENOUGH, values)


def requeue_emails(emails: QuerySet[Email], *, to: str | None = None) -> int:
    """Send dead, bounced and cancelled emails again, to a corrected address if one is given.

    Return how many were queued; emails in other states are left alone.
    """
    changes: dict[str, Any] = {} if to is None else {"to": to}
    queued = emails.filter(state__in=GO_AGAIN).update(
        state=Email.State.QUEUED,
        attempts=0,
        queued_at=Now(),
        next_attempt_at=Now(),
        leased_until=None,
        error="",
        **changes,
    )
    log.info("emails_requeued", extra={"emails": queued})
    transaction.on_commit(wake_emails_worker, robust=True)
    return queued


def send_due_emails(limit: int = BATCH) -> int:
    """Claim up to `limit` due emails, the fast lane first, and send them over one connection.

    Return how many were dealt with: 0 when nothing is due or the mail server is away. While the
    database is away, wait for it for up to half of a lease. Raises OperationalError after that.
    """
    backend = get_connection()
    with KeptOutcomes() as kept:
        _write_kept(kept)
        claimed = _claim(limit)
        if len(claimed) == limit:
            # There may be more than this process can send quickly: let another one help.
            wake_emails_worker()
        try:
            return _send(claimed, backend, kept)
        finally:
            _close(backend)


def write_kept_outcomes() -> None:
    """Write to the database the outcomes that this host keeps. No query when it keeps none."""
    with KeptOutcomes() as kept:
        _write_kept(kept)


def _write_kept(kept: KeptOutcomes) -> None:
    """Leave the newest to the processes that are writing them now."""
    waiting = kept.find(older_than=WRITE_SECONDS)
    for start in range(0, len(waiting), BATCH):
        batch = waiting[start : start + BATCH]
        queued = Email.objects.filter(state=Email.State.QUEUED)
        emails = queued.in_bulk([each.email_id for each in batch])
        for each in batch:
            email = emails.get(each.email_id)
            if email is not None and email.queued_at == each.queued_at:
                _write(email, each.outcome)
        kept.remove(each.key for each in batch)


# One statement, and so one round trip and one commit. The rows are locked before they are changed,
# in an expression that PostgreSQL does not run twice. A row whose lease ended is not claimed yet:
# it is left to its worker for TIME_TO_TELL, and due again after that.
CLAIM = """
WITH due AS MATERIALIZED ({due} FOR UPDATE SKIP LOCKED), claimed AS (
    UPDATE notifications_email AS email
    SET leased_until = CASE WHEN leased_until IS NULL THEN statement_timestamp() + %s END,
        next_attempt_at = CASE
            WHEN leased_until IS NULL THEN next_attempt_at ELSE statement_timestamp() + %s
        END
    FROM due WHERE email.id = due.pk
    RETURNING email.*
)
SELECT * FROM claimed WHERE leased_until IS NOT NULL
"""


def _claim(limit: int) -> list[Email]:
    due = Email.objects.due().order_by("-fast", "next_attempt_at", "pk").values("pk")[:limit]
    sql, parameters = due.query.sql_with_params()
    lease = timedelta(seconds=settings.EMAIL_LEASE)
    claimed = Email.objects.raw(CLAIM.format(due=sql), [*parameters, lease, TIME_TO_TELL])
    return sorted(claimed, key=lambda email: (not email.fast, email.next_attempt_at, email.pk))


def _send(claimed: list[Email], backend: BaseEmailBackend, kept: KeptOutcomes) -> int:
    # One email can take several timeouts: nothing is begun in the second half of the lease.
    stop_at = monotonic() + settings.EMAIL_LEASE / 2
    answered = {each.key: each for each in kept.find()} if claimed else {}
    away = 0
    for done, email in enumerate(claimed):
        if monotonic() > stop_at:
            _give_back(claimed[done:])
            return done
        if known := answered.get((email.pk, email.queued_at)):
            _record(email, known.outcome, kept, until=stop_at)
            continue
        if not provider.allows():
            _postpone(claimed[done:])
            return 0
        outcome = deliver(email, backend)
        if outcome.result in ANSWERED:
            kept.add(email, outcome)
        _record(email, outcome, kept, until=stop_at)
        if outcome.result not in {Result.SENT, Result.NOT_WANTED}:
            _close(backend)
        away = away + 1 if outcome.result is Result.UNAVAILABLE else 0
        if away == AWAY_FOR_ALL:
            _postpone(claimed[done + 1 :])
            return 0
    return len(claimed) - away


def _record(email: Email, outcome: Outcome, kept: KeptOutcomes, *, until: float) -> None:
    """Write an outcome to the database, trying again while that is away, until a moment of the
    monotonic clock. Raises OperationalError or InterfaceError; an answer is kept then.
    """
    level = logging.INFO if outcome.result in {Result.SENT, Result.NOT_WANTED} else logging.WARNING
    log.log(
        level,
        f"email_{outcome.result.name.lower()}",
        extra={"email_id": email.pk, "kind": email.kind, "error": outcome.error},
    )
    is_synced = False
    while True:
        try:
            with deadline(WRITE_SECONDS):
                _write(email, outcome)
        except (OperationalError, InterfaceError) as error:
            connection.close()
            if not is_synced:
                log.warning(
                    "outcome_kept", extra={"email_id": email.pk, "error": type(error).__name__}
                )
                kept.sync()
                is_synced = True
            if monotonic() > until:
                raise
            sleep(WRITE_PAUSE)
        else:
            if outcome.result in ANSWERED:
                kept.remove([(email.pk, email.queued_at)])
            return


def _write(email: Email, outcome: Outcome) -> None:
    match outcome.result:
        case Result.SENT:
            # Even if the lease has run out meanwhile: sent is sent.
            Email.objects.filter(pk=email.pk, state=Email.State.QUEUED).update(
                state=Email.State.SENT,
                sent_at=Now(),
                provider_id=outcome.provider_id,
                leased_until=None,
                error="",
            )
        case Result.NOT_WANTED:
            _update_leased(email, state=Email.State.CANCELLED)
        case Result.REFUSED:
            _update_leased(email, state=Email.State.DEAD, error=outcome.error)
        case Result.FAILED:
            _use_up_attempt(email, outcome.error)
        case Result.UNAVAILABLE:
            _update_leased(email, next_attempt_at=_after_waiting(email), error=outcome.error)


def _use_up_attempt(email: Email, error: str) -> None:
    backoff = timedelta(seconds=settings.EMAIL_BACKOFF * 2**email.attempts)
    attempts = email.attempts + 1
    state = Email.State.DEAD if attempts >= settings.EMAIL_ATTEMPTS else Email.State.QUEUED
    _update_leased(
        email, state=state, attempts=attempts, next_attempt_at=Now() + backoff, error=error
    )


def _postpone(emails: list[Email]) -> None:
    for email in emails:
        _update_leased(email, next_attempt_at=_after_waiting(email))


def send_put_off_emails() -> None:
    """Make emails due that wait for the mail server: it is back. Called in the probe's thread."""
    try:
        Email.objects.filter(
            state=Email.State.QUEUED, attempts=0, leased_until=None, next_attempt_at__gt=Now()
        ).update(next_attempt_at=Now())
    finally:
        connection.close()
    wake_emails_worker()


provider.on_return.append(send_put_off_emails)


def _give_back(emails: list[Email]) -> None:
    for email in emails:
        _update_leased(email)


def _after_waiting(email: Email) -> CombinedExpression:
    """Say when to try again: after as long as the email has waited already, within bounds."""
    assert email.leased_until is not None
    claimed_at = email.leased_until - timedelta(seconds=settings.EMAIL_LEASE)
    shortest = timedelta(seconds=settings.EMAIL_BACKOFF)
    longest = shortest if email.fast else LONGEST_WAIT_FOR_SERVER
    return Now() + min(max(claimed_at - email.queued_at, shortest), longest)


def _update_leased(email: Email, **changes: Any) -> None:
    """Record a change and end the lease, unless another worker has the email by now."""
    Email.objects.filter(
        pk=email.pk, state=Email.State.QUEUED, leased_until=email.leased_until
    ).update(leased_until=None, **changes)


def _close(backend: BaseEmailBackend) -> None:
    with suppress(OSError):
        backend.close()
