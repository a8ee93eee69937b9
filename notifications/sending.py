"""Send the emails that are due.

A worker claims rows with a lease in a short transaction and sends them outside of any transaction.
It records each outcome at once: the provider's response first on this host's disk (`outcomes`),
then in the row.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import InterfaceError, OperationalError, connection
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from notifications.delivery import Outcome, Result, deliver, provider
from notifications.models import Email
from notifications.outcomes import KeptOutcomes
from notifications.services import wake_emails_worker
from snap.resilience.connections import deadline

log = logging.getLogger(__name__)

# The longest pause between two attempts while the mail provider is unavailable.
MAX_WAIT_FOR_PROVIDER = timedelta(seconds=60)

# Emails that are claimed at once and sent over one connection.
BATCH = 20

# Responses of the provider that are final. An email with such an outcome is not sent again.
PROVIDER_RESULTS = {Result.SENT, Result.REFUSED}
# Outcomes without an error.
EXPECTED_RESULTS = {Result.SENT, Result.NOT_WANTED}

WRITE_SECONDS = 2.0  # that one write of an outcome to the database can take
WRITE_RETRY_SECONDS = 0.5  # between two attempts to write it

# After the end of its lease an email is left to its worker for this time: the worker may write an
# outcome as soon as the database is back. Longer than the pauses of the worker and the sweeper.
EXPIRED_LEASE_GRACE = timedelta(seconds=10)

# After so many emails in a row with UNAVAILABLE, the rest of the batch is postponed.
MAX_UNAVAILABLE_IN_A_ROW = 2


def send_due_emails(limit: int = BATCH) -> int:
    """Claim up to `limit` due emails, fast ones first, and send them over one connection.

    Return how many were processed: 0 when none is due or the mail provider is unavailable. Waits
    for an unavailable database for up to half of EMAIL_LEASE, and raises OperationalError after
    that.
    """
    backend = get_connection()
    with KeptOutcomes() as kept:
        _write_kept_outcomes(kept)
        claimed = _claim(limit)
        if len(claimed) == limit:
            # More emails may be due: another process can send them at the same time.
            wake_emails_worker()
        try:
            return _send(claimed, backend, kept)
        finally:
            _close(backend)


def write_kept_outcomes() -> None:
    """Write the outcomes that this host keeps to the database. No query when it keeps none."""
    with KeptOutcomes() as kept:
        _write_kept_outcomes(kept)


def _write_kept_outcomes(kept: KeptOutcomes) -> None:
    # Newer outcomes are left to the processes that are writing them now.
    waiting = kept.find(older_than=WRITE_SECONDS)
    for start in range(0, len(waiting), BATCH):
        batch = waiting[start : start + BATCH]
        queued = Email.objects.filter(state=Email.State.QUEUED)
        emails = queued.in_bulk([each.email_id for each in batch])
        for each in batch:
            email = emails.get(each.email_id)
            if email is not None and email.queued_at == each.queued_at:
                _write(email, each.outcome)
        kept.remove([each.key for each in batch])


# One statement, so one round trip and one commit. MATERIALIZED has PostgreSQL select and lock the
# rows once. A row whose lease has ended is not claimed yet: it is left to its worker for
# EXPIRED_LEASE_GRACE, and due after that.
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
    claimed = Email.objects.raw(CLAIM.format(due=sql), [*parameters, lease, EXPIRED_LEASE_GRACE])
    return sorted(claimed, key=lambda email: (not email.fast, email.next_attempt_at, email.pk))


def _send(claimed: list[Email], backend: BaseEmailBackend, kept: KeptOutcomes) -> int:
    """Send claimed emails. Return how many were processed, 0 when the provider is unavailable."""
    if not claimed:
        return 0
    # One email can take several timeouts: none is begun in the second half of the lease.
    stop_at = monotonic() + settings.EMAIL_LEASE / 2
    known_outcomes = {each.key: each.outcome for each in kept.find()}
    unavailable = 0
    for done, email in enumerate(claimed):
        if monotonic() > stop_at:
            _release(claimed[done:])
            return done
        if known := known_outcomes.get((email.pk, email.queued_at)):
            _record(email, known, kept, until=stop_at)
            continue
        if not provider.allows():
            _postpone(claimed[done:])
            return 0
        outcome = _deliver(email, backend, kept)
        _record(email, outcome, kept, until=stop_at)
        if outcome.result is Result.UNAVAILABLE:
            unavailable += 1
        else:
            unavailable = 0
        if unavailable == MAX_UNAVAILABLE_IN_A_ROW:
            _postpone(claimed[done + 1 :])
            return 0
    return len(claimed) - unavailable


def _deliver(email: Email, backend: BaseEmailBackend, kept: KeptOutcomes) -> Outcome:
    """Send one email, and keep the provider's response on the disk."""
    outcome = deliver(email, backend)
    if outcome.result in PROVIDER_RESULTS:
        kept.add(email, outcome)
    if outcome.result not in EXPECTED_RESULTS:
        # The connection may be unusable after an error. The next email opens a new one.
        _close(backend)
    return outcome


def _record(email: Email, outcome: Outcome, kept: KeptOutcomes, *, until: float) -> None:
    """Write an outcome to the database. Try again while that is unavailable.

    Raises OperationalError or InterfaceError after `until` (monotonic clock); the provider's
    response stays on the disk then.
    """
    _log_outcome(email, outcome)
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
            sleep(WRITE_RETRY_SECONDS)
        else:
            if outcome.result in PROVIDER_RESULTS:
                kept.remove([(email.pk, email.queued_at)])
            return


def _log_outcome(email: Email, outcome: Outcome) -> None:
    level = logging.WARNING
    if outcome.result in EXPECTED_RESULTS:
        level = logging.INFO
    event = f"email_{outcome.result.name.lower()}"
    about = {"email_id": email.pk, "kind": email.kind, "error": outcome.error}
    log.log(level, event, extra=about)


def _write(email: Email, outcome: Outcome) -> None:
    match outcome.result:
        case Result.SENT:
            # Without a check of the lease: the email was sent, even if the lease has ended since.
            # If staff queued it again meanwhile, it is still to be sent to its present address.
            Email.objects.filter(
                pk=email.pk, state=Email.State.QUEUED, queued_at=email.queued_at
            ).update(
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
            _count_attempt(email, outcome.error)
        case Result.UNAVAILABLE:
            _update_leased(email, next_attempt_at=_next_attempt_at(email), error=outcome.error)


def _count_attempt(email: Email, error: str) -> None:
    """Count a failed attempt. After EMAIL_ATTEMPTS of them the email is dead."""
    backoff = timedelta(seconds=settings.EMAIL_BACKOFF * 2**email.attempts)
    attempts = email.attempts + 1
    state = Email.State.QUEUED
    if attempts >= settings.EMAIL_ATTEMPTS:
        state = Email.State.DEAD
    _update_leased(
        email, state=state, attempts=attempts, next_attempt_at=Now() + backoff, error=error
    )


def _postpone(emails: list[Email]) -> None:
    """End the lease of emails, and wait for the mail provider without counting an attempt."""
    for email in emails:
        _update_leased(email, next_attempt_at=_next_attempt_at(email))


def retry_postponed_emails() -> None:
    """Make postponed emails due: the mail provider is back. Runs in the thread of the probe."""
    try:
        Email.objects.filter(
            state=Email.State.QUEUED, attempts=0, leased_until=None, next_attempt_at__gt=Now()
        ).update(next_attempt_at=Now())
    finally:
        connection.close()
    wake_emails_worker()


provider.on_recovery.append(retry_postponed_emails)


def _release(emails: list[Email]) -> None:
    """End the lease of emails that were not sent. They stay due."""
    for email in emails:
        _update_leased(email)


def _next_attempt_at(email: Email) -> CombinedExpression:
    """Return the time of the next attempt: after as long as the email has waited already.

    The pause is at least EMAIL_BACKOFF, and at most MAX_WAIT_FOR_PROVIDER. A fast email always
    waits for EMAIL_BACKOFF.
    """
    assert email.leased_until is not None
    backoff = timedelta(seconds=settings.EMAIL_BACKOFF)
    if email.fast:
        return Now() + backoff
    claimed_at = email.leased_until - timedelta(seconds=settings.EMAIL_LEASE)
    waited = claimed_at - email.queued_at
    return Now() + min(max(waited, backoff), MAX_WAIT_FOR_PROVIDER)


def _update_leased(email: Email, **changes: Any) -> None:
    """Change a row and end its lease, unless another worker has claimed the email since."""
    Email.objects.filter(
        pk=email.pk, state=Email.State.QUEUED, leased_until=email.leased_until
    ).update(leased_until=None, **changes)


def _close(backend: BaseEmailBackend) -> None:
    with suppress(OSError):
        backend.close()
