"""Send the emails that are due.

A worker claims rows with a lease in a short transaction, builds their messages, and has threads
hand them to the providers outside of any transaction. It records each outcome at once: the
provider's response first on this host's disk (`outcomes`), then in the row.

Codes that people wait for (`fast`) have a lane of their own: their own claims, threads and
connections.
"""

import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, SimpleQueue
from time import monotonic, sleep

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from notifications.delivery import Outcome, Result, hand_over, outcome_without_message
from notifications.email_metrics import batch_sizes
from notifications.kinds import bulk_kinds, is_paused
from notifications.messages import RelatedMessage, build_messages
from notifications.models import Email
from notifications.outcomes import KeptOutcomes, Key
from notifications.providers import Provider, on_recovery, providers
from notifications.recording import EXPIRED_LEASE_GRACE, lost_response, record
from notifications.recording import write_kept_outcomes as write_kept
from notifications.senders import SenderThreads, bulk_senders, code_senders
from notifications.services import wake_codes_worker, wake_emails_worker
from snap.control.switches import BATCHING, is_on
from snap.observability import tracing
from snap.observability.context import context_of, following
from snap.observability.logs import describe_error

log = logging.getLogger(__name__)

# Emails that are claimed and built at once.
BATCH = 100
# Outcomes that are written to the database at once, and seconds that the first of them can wait.
RECORD_BATCH = 50
RECORD_SECONDS = 1.0

# After so many emails in a row that found a provider unavailable, the rest of the batch is
# postponed.
MAX_UNAVAILABLE_IN_A_ROW = 2
# Seconds that a batch waits for a provider that accepts no more for now. It is postponed otherwise.
MAX_PAUSE_IN_BATCH = 5.0
# Seconds for which a thread waits for the moment of an email under EMAIL_PER_SECOND. At a low rate
# all threads together would wait past their leases.
MAX_BACKLOG = 10.0
# Seconds after which a message is built again before it is handed over: a code may have expired.
MAX_AGE = 20.0
MAX_AGE_OF_CODE = 5.0

# The email did not leave, for a reason that is not its own.
NOT_PROCESSED = {
    Result.UNAVAILABLE,
    Result.LIMITED,
    Result.NEEDS_MENDING,
    Result.UNSURE,
    Result.POSTPONED,
    Result.RELEASED,
}


def send_due_emails(limit: int = BATCH, *, fast: bool | None = None) -> int:
    """Claim up to `limit` due emails, build them, and hand them to the providers.

    `fast` selects the codes or the other emails; None means all, codes first. Return how many were
    processed: 0 when none is due or no provider is available. Waits for an unavailable database
    for up to half of EMAIL_LEASE, and raises OperationalError after that.
    """
    if not is_on(BATCHING):
        limit = 1
    if rate := settings.EMAIL_PER_SECOND:
        # What leaves in a few seconds. More would have to be built again.
        limit = min(limit, max(1, int(rate * MAX_AGE / 2)))
    with KeptOutcomes() as kept:
        write_kept(kept, batch=BATCH)
        claimed = _claim(limit, fast)
        if not claimed:
            return 0
        batch_sizes.observe(len(claimed))
        if len(claimed) == limit:
            # More emails may be due: another process can send them at the same time.
            _wake_worker(fast)
        senders = code_senders if fast else bulk_senders
        with tracing.span("send emails", emails=len(claimed)):
            return _Batch(claimed, senders, kept).send()


def write_kept_outcomes() -> None:
    """Write the outcomes that this host keeps to the database. No query when it keeps none."""
    with KeptOutcomes() as kept:
        write_kept(kept, batch=BATCH)


def _wake_worker(fast: bool | None) -> None:
    if fast is not False:
        wake_codes_worker()
    if not fast:
        wake_emails_worker()


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


def _claim(limit: int, fast: bool | None) -> list[Email]:
    """Claim due emails, bulk kinds last: a message to 10,000 guests holds up no QR code."""
    due = Email.objects.due()
    if fast is not None:
        due = due.filter(fast=fast)
    bulk = bulk_kinds()
    claimed = _claim_some(due.exclude(kind__in=bulk), limit)
    if not fast and len(claimed) < limit:
        claimed += _claim_some(due.filter(kind__in=bulk), limit - len(claimed))
    return claimed


def _claim_some(due: QuerySet[Email], limit: int) -> list[Email]:
    due = due.order_by("-fast", "next_attempt_at", "pk")
    sql, parameters = due.values("pk")[:limit].query.sql_with_params()
    lease = timedelta(seconds=settings.EMAIL_LEASE)
    claimed = Email.objects.raw(CLAIM.format(due=sql), [*parameters, lease, EXPIRED_LEASE_GRACE])
    return sorted(claimed, key=lambda email: (not email.fast, email.next_attempt_at, email.pk))


@dataclass(frozen=True)
class _Ready:
    """An email with its message, and when that was built."""

    email: Email
    message: RelatedMessage
    built_at: float

    def is_stale(self) -> bool:
        age = monotonic() - self.built_at
        return age > (MAX_AGE_OF_CODE if self.email.fast else MAX_AGE)


@dataclass
class _Batch:
    """Claimed emails on their way. One thread builds, keeps and records; others hand over."""

    claimed: Sequence[Email]
    senders: SenderThreads
    kept: KeptOutcomes

    processed: int = 0
    unavailable_in_a_row: int = 0
    _ready: deque[_Ready] = field(default_factory=deque)
    _in_flight: dict[int, Email] = field(default_factory=dict)
    _responses: SimpleQueue[tuple[Email, Outcome]] = field(default_factory=SimpleQueue)
    _to_record: list[tuple[Email, Outcome]] = field(default_factory=list)
    _record_at: float = float("inf")
    _has_released: bool = False

    def send(self) -> int:
        """Send the emails. Return how many were processed, 0 when no provider is available."""
        # One email can take several timeouts: none is begun in the second half of the lease.
        self._stop_at = monotonic() + settings.EMAIL_LEASE / 2
        self._lease_ends_at = monotonic() + settings.EMAIL_LEASE
        try:
            self._build(self._without_known_outcomes())
            while self._ready or self._in_flight:
                self._start_some()
                self._collect(RECORD_SECONDS)
                if monotonic() > self._record_at or len(self._to_record) >= RECORD_BATCH:
                    self._record()
                if monotonic() > self._lease_ends_at:
                    break
            self._record()
        finally:
            self._keep_rest()
        self._record()
        if self._has_released:
            _wake_worker(self.claimed[0].fast)
        return self.processed

    # Building ------------------------------------------------------------------------------------

    def _without_known_outcomes(self) -> list[Email]:
        """Return the emails of whose last attempt this host knows no outcome. Record the others."""
        outcomes: dict[Key, Outcome] = {}
        for handover in self.kept.find_handovers():
            outcomes[handover.key] = lost_response(handover.provider)
        for known in self.kept.find():
            outcomes[known.key] = known.outcome
        unknown = []
        for email in self.claimed:
            outcome = outcomes.get((email.pk, email.queued_at))
            if outcome is None:
                unknown.append(email)
            else:
                self._end(email, outcome)
        return unknown

    def _build(self, emails: Sequence[Email]) -> None:
        if not emails:
            return
        messages = build_messages(emails)
        built_at = monotonic()
        for email in emails:
            message = messages[email.pk]
            if isinstance(message, RelatedMessage):
                self._ready.append(_Ready(email, message, built_at))
            else:
                self._end(email, outcome_without_message(message))

    # Handing over --------------------------------------------------------------------------------

    def _start_some(self) -> None:
        """Hand over as many emails as there are free threads. Wait for one if none is under way."""
        started: list[tuple[_Ready, Provider]] = []
        while self._ready and self._acquire(is_first=not started):
            ready = self._ready.popleft()
            chosen = self._choose(ready)
            if isinstance(chosen, Outcome):
                self.senders.release()
                self._end(ready.email, chosen)
            else:
                started.append((ready, chosen))
        if started:
            self.kept.begin([(ready.email, provider.name) for ready, provider in started])
        for ready, provider in started:
            self._in_flight[ready.email.pk] = ready.email
            self._hand_over(ready, provider)

    def _acquire(self, *, is_first: bool) -> bool:
        must_wait = is_first and not self._in_flight
        if not must_wait:
            return self.senders.acquire(0)
        if self.senders.acquire(max(0.0, self._stop_at - monotonic())):
            return True
        # Other batches use all threads.
        while self._ready:
            self._end(self._ready.popleft().email, Outcome(Result.RELEASED))
        return False

    def _choose(self, ready: _Ready) -> Provider | Outcome:
        """Return the provider for an email, or why it is not handed over now."""
        if monotonic() > self._stop_at or ready.is_stale() or is_paused(ready.email.kind):
            return Outcome(Result.RELEASED)
        if self.unavailable_in_a_row >= MAX_UNAVAILABLE_IN_A_ROW:
            return Outcome(Result.POSTPONED)
        candidates = providers()
        if name := ready.email.unsure_provider:
            candidates = [each for each in candidates if each.name == name]
            if not candidates:
                return Outcome(Result.FAILED, error=f"response_lost {name} is no longer set")
        if ready.email.fast:
            # A code is no trial of a provider while the other one works.
            candidates.sort(key=lambda provider: not provider.is_working)
        for provider in candidates:
            # A code goes to the other provider at once.
            if not ready.email.fast or len(candidates) == 1:
                self._wait_for_pace(provider)
            if not ready.email.fast and provider.pace.backlog() > MAX_BACKLOG:
                return Outcome(Result.POSTPONED, wait=provider.pace.backlog())
            if provider.allows():
                return provider
        wait = min(provider.pace.pause_left() for provider in candidates)
        return Outcome(Result.POSTPONED, wait=wait)

    def _wait_for_pace(self, provider: Provider) -> None:
        pause = provider.pace.pause_left()
        if 0 < pause < MAX_PAUSE_IN_BATCH and monotonic() + pause < self._stop_at:
            sleep(pause)

    def _hand_over(self, ready: _Ready, provider: Provider) -> None:
        delay = provider.pace.reserve(is_urgent=ready.email.fast)
        responses = self._responses
        batch = tracing.current_traceparent()

        def job() -> None:
            sleep(delay)
            with following(context_of(ready.email)):
                try:
                    with tracing.continuing("send email", ready.email.traceparent, link=batch):
                        outcome = hand_over(ready.email, ready.message, provider)
                        tracing.annotate(
                            kind=ready.email.kind,
                            provider=provider.name,
                            result=outcome.result.name,
                        )
                except Exception as error:
                    log.exception("hand_over_failed", extra={"email_id": ready.email.pk})
                    outcome = lost_response(provider.name, error=describe_error(error))
            responses.put((ready.email, outcome))

        self.senders.run(job)

    # Outcomes ------------------------------------------------------------------------------------

    def _collect(self, seconds: float = 0.0) -> None:
        """Keep the responses that have arrived on the disk. Wait for one if any is under way."""
        responses = []
        with suppress(Empty):
            if self._in_flight and seconds > 0:
                responses.append(self._responses.get(timeout=seconds))
            while True:
                responses.append(self._responses.get_nowait())
        if not responses:
            return
        self.kept.add(responses)
        for email, outcome in responses:
            del self._in_flight[email.pk]
            self._end(email, outcome)
            self._count_unavailable(outcome)

    def _keep_rest(self) -> None:
        """Keep the responses that are still under way, after an error or the end of the lease.

        The note of the handover stays for an email without any: the provider may have it.
        """
        wait_until = monotonic() + settings.EMAIL_TIMEOUT + settings.EMAIL_RESPONSE_TIMEOUT
        while self._in_flight and monotonic() < wait_until:
            self._collect(RECORD_SECONDS)
        if self._in_flight:
            log.error("emails_without_response", extra={"emails": len(self._in_flight)})

    def _count_unavailable(self, outcome: Outcome) -> None:
        if outcome.result in {Result.UNAVAILABLE, Result.UNSURE}:
            self.unavailable_in_a_row += 1
        else:
            self.unavailable_in_a_row = 0

    def _end(self, email: Email, outcome: Outcome) -> None:
        if outcome.result not in NOT_PROCESSED:
            self.processed += 1
        if not self._to_record:
            self._record_at = monotonic() + RECORD_SECONDS
        if outcome.result is Result.RELEASED:
            self._has_released = True
        self._to_record.append((email, outcome))

    def _record(self) -> None:
        outcomes, self._to_record = self._to_record, []
        self._record_at = float("inf")
        record(outcomes, self.kept, until=self._stop_at, meanwhile=self._collect)


def retry_postponed_emails() -> None:
    """Make postponed emails due: a mail provider is back. Runs in the thread of its probe.

    An email whose response was lost waits for a report.
    """
    try:
        Email.objects.filter(
            state=Email.State.QUEUED,
            attempts=0,
            leased_until=None,
            unsure_provider="",
            next_attempt_at__gt=Now(),
        ).update(next_attempt_at=Now())
    finally:
        connection.close()
    wake_codes_worker()
    wake_emails_worker()


on_recovery.append(retry_postponed_emails)
