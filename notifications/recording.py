"""Write outcomes to the rows of emails, those of a batch in one statement."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic, sleep

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from notifications.delivery import Outcome, Result
from notifications.email_metrics import count_emails
from notifications.models import Email
from notifications.outcomes import KeptOutcomes
from notifications.providers import providers
from snap.observability.context import context_of, following
from snap.resilience.connections import deadline

log = logging.getLogger(__name__)

# The longest pause between two attempts while the mail provider is unavailable.
MAX_WAIT_FOR_PROVIDER = timedelta(seconds=60)

# After the end of its lease an email is left to its worker for this time: the worker may write an
# outcome as soon as the database is back. Longer than the pauses of the worker and the sweeper.
EXPIRED_LEASE_GRACE = timedelta(seconds=10)

WRITE_SECONDS = 2.0  # that one write of outcomes to the database can take
WRITE_RETRY_SECONDS = 0.5  # between two attempts to write them

# Age of an email after which its idempotency key is not relied on. Resend knows one for 24 hours.
KEY_IS_KNOWN_FOR = timedelta(hours=20)

# Outcomes without an error.
EXPECTED_RESULTS = {Result.SENT, Result.NOT_WANTED}
# Outcomes that are not logged: the email was not handed over.
SILENT_RESULTS = {Result.POSTPONED, Result.RELEASED}

State = Email.State
Outcomes = Sequence[tuple[Email, Outcome]]


@dataclass(frozen=True)
class Change:
    """What an outcome changes in a row. `wait` is None if the time of the next attempt stays."""

    state: str = State.QUEUED
    attempts: int = 0
    wait: timedelta | None = None
    unsure_provider: str = ""
    error: str = ""
    # An email that was sent is sent, even if its lease has ended since.
    needs_lease: bool = True


def change_for(email: Email, outcome: Outcome) -> Change:
    """Return what an outcome changes in the row of its email."""
    unsure = email.unsure_provider
    match outcome.result:
        case Result.SENT:
            return Change(State.SENT, email.attempts, needs_lease=False)
        case Result.NOT_WANTED:
            return Change(State.CANCELLED, email.attempts, error=outcome.error)
        case Result.REFUSED:
            return Change(State.DEAD, email.attempts, error=outcome.error)
        case Result.FAILED:
            return _counted(email, outcome, unsure)
        case Result.UNSURE:
            return _unsure(email, outcome)
        case Result.RELEASED:
            return Change(attempts=email.attempts, unsure_provider=unsure, error=email.error)
    error = outcome.error or email.error
    return Change(
        attempts=email.attempts, wait=_pause(email, outcome), unsure_provider=unsure, error=error
    )


def _counted(email: Email, outcome: Outcome, unsure: str) -> Change:
    """Count a failed attempt. After EMAIL_ATTEMPTS of them the email is dead."""
    attempts = email.attempts + 1
    state = State.QUEUED
    if attempts >= settings.EMAIL_ATTEMPTS:
        state = State.DEAD
    wait = timedelta(seconds=settings.EMAIL_BACKOFF * 2**email.attempts)
    return Change(state, attempts, wait, unsure, outcome.error)


def _unsure(email: Email, outcome: Outcome) -> Change:
    """Leave an email to the provider that may have accepted it.

    A provider that still knows the idempotency key is asked again soon, another one after
    EMAIL_UNSURE_SECONDS without a report. A second lost response there counts as an attempt: each
    may be a copy.
    """
    attempts = email.attempts
    state = State.QUEUED
    if outcome.has_key and timezone.now() < email.queued_at + KEY_IS_KNOWN_FOR:
        wait = _pause(email, outcome)
    else:
        wait = timedelta(seconds=settings.EMAIL_UNSURE_SECONDS)
        if email.unsure_provider:
            attempts += 1
        if attempts >= settings.EMAIL_ATTEMPTS:
            state = State.DEAD
    return Change(state, attempts, wait, outcome.provider, outcome.error)


def _pause(email: Email, outcome: Outcome) -> timedelta:
    """Return the time until the next attempt: as long as the email has waited already.

    The pause is at least EMAIL_BACKOFF, and at most MAX_WAIT_FOR_PROVIDER. A fast email always
    waits for EMAIL_BACKOFF, and so do all while the other provider can take them. All wait as long
    as the provider asks for.
    """
    backoff = timedelta(seconds=settings.EMAIL_BACKOFF)
    asked = timedelta(seconds=outcome.wait)
    if email.fast or email.leased_until is None or _has_other_provider():
        return max(backoff, asked)
    claimed_at = email.leased_until - timedelta(seconds=settings.EMAIL_LEASE)
    waited = claimed_at - email.queued_at
    return max(min(max(waited, backoff), MAX_WAIT_FOR_PROVIDER), asked)


def _has_other_provider() -> bool:
    """Return whether there are two providers of which one works."""
    known = providers()
    return len(known) > 1 and any(each.is_working for each in known)


# If staff queued an email again meanwhile, it is still to be sent to its present address. If
# another worker has claimed it since, only a success is written.
WRITE = """
UPDATE notifications_email AS email
SET state = outcome.state,
    sent_at = CASE WHEN outcome.state = 'sent' THEN statement_timestamp() ELSE email.sent_at END,
    attempts = outcome.attempts,
    next_attempt_at = coalesce(statement_timestamp() + outcome.wait, email.next_attempt_at),
    leased_until = NULL,
    provider = outcome.provider,
    provider_id = outcome.provider_id,
    unsure_provider = outcome.unsure_provider,
    error = outcome.error
FROM unnest(
    %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::boolean[], %s::text[], %s::smallint[],
    %s::interval[], %s::text[], %s::text[], %s::text[], %s::text[]
) AS outcome (
    id, queued_at, leased_until, needs_lease, state, attempts,
    wait, provider, provider_id, unsure_provider, error
)
WHERE email.id = outcome.id AND email.state = 'queued' AND email.queued_at = outcome.queued_at
    AND (NOT outcome.needs_lease OR email.leased_until IS NOT DISTINCT FROM outcome.leased_until)
"""


def write_outcomes(outcomes: Outcomes) -> None:
    """Write outcomes to their rows, in one statement.

    The rows are in the order in which reports lock them: two batches wait and do not deadlock.
    """
    rows = []
    ended = []
    for email, outcome in sorted(outcomes, key=lambda each: each[0].pk):
        change = change_for(email, outcome)
        is_sent = change.state == State.SENT
        if change.state != State.QUEUED:
            ended.append((email.kind, str(change.state), outcome.provider))
        rows.append(
            (
                email.pk,
                email.queued_at,
                email.leased_until,
                change.needs_lease,
                str(change.state),
                change.attempts,
                change.wait,
                outcome.provider if is_sent else "",
                outcome.provider_id if is_sent else "",
                change.unsure_provider,
                change.error[:200],
            )
        )
    if rows:
        columns: list[list[object]] = [list(column) for column in zip(*rows, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(WRITE, columns)
        count_emails(ended)


def record(
    outcomes: Outcomes,
    kept: KeptOutcomes,
    *,
    until: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Write outcomes to the database. Try again while that is unavailable.

    Runs `meanwhile` before each further attempt. Raises OperationalError or InterfaceError after
    `until` (monotonic clock); the provider's responses stay on the disk then.
    """
    if not outcomes:
        return
    for email, outcome in outcomes:
        log_outcome(email, outcome)
    is_synced = False
    while True:
        try:
            with deadline(WRITE_SECONDS):
                write_outcomes(outcomes)
        except (OperationalError, InterfaceError) as error:
            connection.close()
            if not is_synced:
                extra = {"emails": len(outcomes), "error": type(error).__name__}
                log.warning("outcomes_kept", extra=extra)
                kept.sync()
                is_synced = True
            meanwhile()
            if monotonic() > until:
                raise
            sleep(WRITE_RETRY_SECONDS)
        else:
            kept.remove([(email.pk, email.queued_at) for email, _ in outcomes])
            return


def log_outcome(email: Email, outcome: Outcome) -> None:
    if outcome.result in SILENT_RESULTS:
        return
    level = logging.WARNING
    if outcome.result in EXPECTED_RESULTS:
        level = logging.INFO
    event = f"email_{outcome.result.name.lower()}"
    about = {"email_id": email.pk, "kind": email.kind, "error": outcome.error or None}
    if outcome.provider:
        about["provider"] = outcome.provider
    with following(context_of(email)):
        log.log(level, event, extra=about)


def write_kept_outcomes(kept: KeptOutcomes, *, batch: int) -> None:
    """Write what this host keeps to the database: outcomes, and handovers without a response.

    Newer ones are left to the processes that are writing them now.
    """
    waiting = kept.find(older_than=WRITE_SECONDS)
    for start in range(0, len(waiting), batch):
        some = waiting[start : start + batch]
        queued = Email.objects.filter(state=State.QUEUED)
        emails = queued.in_bulk([each.email_id for each in some])
        found = []
        for each in some:
            email = emails.get(each.email_id)
            if email is not None and email.queued_at == each.queued_at:
                found.append((email, each.outcome))
        write_outcomes(found)
        kept.remove([each.key for each in some])
    _write_handovers(kept)


def _write_handovers(kept: KeptOutcomes) -> None:
    """Write that the provider may have accepted an email, where its worker has ended since.

    An email that another worker has claimed again is left to it until the end of its lease.
    """
    answered = {each.key for each in kept.find()}
    for handover in kept.find_handovers(older_than=settings.EMAIL_LEASE):
        if handover.key in answered:
            continue
        queued = Email.objects.filter(
            pk=handover.email_id, queued_at=handover.queued_at, state=State.QUEUED
        )
        email = queued.first()
        if email is not None and queued.filter(leased_until__gt=Now()).exists():
            continue
        if email is not None and not _is_waiting_for_report(queued, handover.provider):
            write_outcomes([(email, lost_response(handover.provider))])
        kept.remove([handover.key])


def _is_waiting_for_report(queued: QuerySet[Email], name: str) -> bool:
    """Return whether a row says already that this provider may have accepted the email.

    Every process of this host reads the same note. It is one lost response, not one for each.
    """
    later = Now() + EXPIRED_LEASE_GRACE
    return queued.filter(
        unsure_provider=name, leased_until=None, next_attempt_at__gt=later
    ).exists()


def lost_response(name: str, *, error: str = "response_lost") -> Outcome:
    """Return the outcome of an email whose worker ended while it handed the email over."""
    has_key = False
    for provider in providers():
        if provider.name == name:
            has_key = provider.has_idempotency_keys
    return Outcome(Result.UNSURE, error=error, provider=name, has_key=has_key)
