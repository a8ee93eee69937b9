"""Reports of mail providers about the emails they accepted: delivered, opened, bounced.

A report only moves an email forward in FORWARD, and a time only becomes earlier. So the same
reports lead to the same row, whatever their order and however often they come.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from django.db import connection, transaction
from django.utils import timezone

from notifications.bounces import (
    DEFERRED,
    OUR_REASONS,
    BounceReason,
    bounce_error,
    bounce_reason,
    code_in,
)
from notifications.email_metrics import count_emails, observe_delivery
from notifications.mending import note_delivery, note_refusals
from notifications.models import Email, Suppression
from notifications.references import Reference
from notifications.suppressions import suppress
from notifications.tracking import tracks_opens

log = logging.getLogger(__name__)

State = Email.State
# Reports that are recorded in one transaction.
BATCH = 500


class ReportKind(Enum):
    """What a provider says of an email."""

    ACCEPTED = auto()  # The provider has the email.
    DEFERRED = auto()  # The mail server of the address lets the provider wait.
    DELIVERED = auto()
    OPENED = auto()
    BOUNCED = auto()
    COMPLAINED = auto()  # Its reader marked it as spam, so it was delivered.


@dataclass(frozen=True)
class Report:
    """One event of a provider. `provider_id` is "" and `reference` None where it names neither.

    `reason` and `code` (an enhanced status code, or "") say why an email bounced or was deferred.
    """

    kind: ReportKind
    at: datetime | None = None
    provider_id: str = ""
    reference: Reference | None = None
    reason: BounceReason = BounceReason.OTHER
    code: str = ""


# The states of an email in their order. No report changes one that was cancelled, or that is dead
# without a lost response. An opened email has arrived, so a bounce of a copy changes nothing.
FORWARD = (
    State.QUEUED,
    State.SENT,
    State.DELIVERED,
    State.BOUNCED,
    State.OPENED,
    State.COMPLAINED,
)
# The state to which a report moves an email, and the column of the report's time.
MOVES = {
    ReportKind.ACCEPTED: (State.SENT, ""),
    ReportKind.DEFERRED: (State.SENT, ""),
    ReportKind.DELIVERED: (State.DELIVERED, "delivered_at"),
    ReportKind.OPENED: (State.OPENED, "opened_at"),
    ReportKind.BOUNCED: (State.BOUNCED, "bounced_at"),
    ReportKind.COMPLAINED: (State.COMPLAINED, "complained_at"),
}
# The columns that reports change, with their types.
COLUMNS = {
    "state": "text",
    "provider": "text",
    "provider_id": "text",
    "unsure_provider": "text",
    "error": "text",
    "sent_at": "timestamptz",
    "delivered_at": "timestamptz",
    "opened_at": "timestamptz",
    "bounced_at": "timestamptz",
    "complained_at": "timestamptz",
    "leased_until": "timestamptz",
}

# Called with the emails that have bounced, after the commit. Apps add what follows for them.
on_bounced: list[Callable[[Sequence[Email]], None]] = []


def record_reports(provider: str, reports: Iterable[Report]) -> int:
    """Update the rows of the emails that a provider reports on. Return how many changed.

    Three queries for BATCH reports, one more for each complaint. Reports on unknown emails are
    ignored, and so are those that an email was opened unless `tracks_opens()`.
    """
    wanted = []
    for report in reports:
        if report.kind is not ReportKind.OPENED or tracks_opens():
            wanted.append(report)
    changed = 0
    for start in range(0, len(wanted), BATCH):
        changed += _record_batch(provider, wanted[start : start + BATCH])
    return changed


@transaction.atomic
def _record_batch(provider: str, reports: Sequence[Report]) -> int:
    emails = _lock_emails(provider, reports)
    before = {email.pk: email.state for email in emails}
    changed: dict[int, Email] = {}
    for email, report in _matched(provider, emails, reports):
        if _apply(email, report, provider):
            changed[email.pk] = email
    rows = [changed[pk] for pk in sorted(changed)]
    _write(rows)
    moved = [email for email in rows if email.state != before[email.pk]]
    for email in moved:
        if email.state == State.COMPLAINED:
            suppress(email.to, Suppression.Reason.COMPLAINED, email)
    transaction.on_commit(lambda: _follow(provider, moved, len(reports)), robust=True)
    return len(rows)


def _lock_emails(provider: str, reports: Sequence[Report]) -> list[Email]:
    """Return the emails that reports may name, locked in the order of their keys. Two queries."""
    ids = {report.provider_id for report in reports} - {""}
    keys = {report.reference.email_id for report in reports if report.reference}
    if ids:
        # Rows of the release before this one have no provider. The index is of rows with an id.
        by_id = Email.objects.filter(provider__in=["", provider], provider_id__in=ids)
        keys.update(by_id.exclude(provider_id="").values_list("pk", flat=True))
    if not keys:
        return []
    locked = Email.objects.filter(pk__in=keys).select_for_update(no_key=True)
    return list(locked.order_by("pk"))


def _matched(
    provider: str, emails: Sequence[Email], reports: Sequence[Report]
) -> Iterable[tuple[Email, Report]]:
    """Return each report that names an email of this provider, with that email."""
    by_id, by_key = {}, {}
    for email in emails:
        is_open = _has_unknown_fate(email)
        if email.state not in FORWARD and not is_open:
            continue
        by_key[email.pk] = email
        # The id of a queued email is that of an earlier sending.
        if not is_open and email.provider in {"", provider}:
            by_id[email.provider_id] = email
    by_id.pop("", None)
    for report in reports:
        found = by_id.get(report.provider_id)
        if found is None and report.reference is not None:
            named = by_key.get(report.reference.email_id)
            if named is not None and _is_sending_of(named, report, provider):
                found = named
        if found is not None:
            yield found, report


def _is_sending_of(email: Email, report: Report, provider: str) -> bool:
    """Return whether a report is about the present sending of an email, by this provider.

    While the fate of an email is unknown, its row names no provider.
    """
    if report.reference != Reference.of(email.pk, email.queued_at):
        return False
    if _has_unknown_fate(email):
        return True
    has_other_id = email.provider_id and report.provider_id
    return email.provider in {"", provider} and not has_other_id


def _has_unknown_fate(email: Email) -> bool:
    """Return whether a provider may have an email of which the row does not say it."""
    is_unsure = email.state == State.DEAD and email.unsure_provider != ""
    return email.state == State.QUEUED or is_unsure


def _apply(email: Email, report: Report, provider: str) -> bool:
    """Change an email as a report says, and return whether it has changed."""
    before = [getattr(email, name) for name in COLUMNS]
    state, column = MOVES[report.kind]
    at = _plausible_time(email, report)
    if _has_unknown_fate(email):
        _settle(email, report, provider, at)
    email.provider = email.provider or provider
    email.provider_id = email.provider_id or report.provider_id
    if FORWARD.index(state) > FORWARD.index(State(email.state)):
        email.state = state
        email.error = ""
        if state == State.BOUNCED:
            email.error = bounce_error(report.reason, report.code)
    if column:
        known = getattr(email, column)
        setattr(email, column, min(known, at) if known else at)
    if report.kind is ReportKind.DEFERRED and email.state == State.SENT:
        email.error = f"{DEFERRED} {report.code}".strip()
    return before != [getattr(email, name) for name in COLUMNS]


def _settle(email: Email, report: Report, provider: str, at: datetime) -> None:
    """Record that the provider has accepted an email whose response has not been recorded.

    No other provider gets it after this.
    """
    email.state = State.SENT
    email.sent_at = at
    email.provider = provider
    email.provider_id = report.provider_id
    email.unsure_provider = ""
    email.error = ""
    email.leased_until = None


def _plausible_time(email: Email, report: Report) -> datetime:
    """Return the time of a report, between the queueing of the email and now."""
    now = timezone.now()
    return max(email.queued_at, min(report.at or now, now))


def _write(emails: Sequence[Email]) -> None:
    """Write the columns that reports change, in one statement."""
    if not emails:
        return
    values: list[list[object]] = [[email.pk for email in emails]]
    casts = ["%s::bigint[]"]
    for name, column_type in COLUMNS.items():
        values.append([getattr(email, name) for email in emails])
        casts.append(f"%s::{column_type}[]")
    changes = ", ".join(f"{name} = new.{name}" for name in COLUMNS)
    statement = (
        f"UPDATE notifications_email AS email SET {changes}"  # noqa: S608
        f" FROM unnest({', '.join(casts)}) AS new (id, {', '.join(COLUMNS)})"
        " WHERE email.id = new.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _follow(provider: str, moved: Sequence[Email], reports: int) -> None:
    """Count and log what reports have changed, and tell the other apps what has bounced."""
    states = Counter(email.state for email in moved)
    log.info(
        "emails_reported",
        extra={"provider": provider, "reports": reports, "emails": len(moved), **states},
    )
    count_emails((email.kind, email.state, email.provider) for email in moved)
    for email in moved:
        if email.state == State.DELIVERED and email.sent_at and email.delivered_at:
            observe_delivery(email.delivered_at - email.sent_at)
    bounced = [email for email in moved if email.state == State.BOUNCED]
    ours = [email.error for email in bounced if bounce_reason(email.error) in OUR_REASONS]
    _tell_senders(provider, ours, has_delivered=State.DELIVERED in states)
    if ours:
        extra = {"provider": provider, "errors": sorted(set(ours))}
        log.error("emails_refused_for_our_fault", extra=extra)
    if bounced:
        for follow in on_bounced:
            follow(bounced)


def _tell_senders(provider: str, ours: Sequence[str], *, has_delivered: bool) -> None:
    """Let the processes that send emails know whether mailboxes refuse our domain.

    `ours` are the errors of the emails that came back through our fault.
    """
    if has_delivered:
        note_delivery(provider)
    elif ours:
        note_refusals(provider, code_in(ours[0]) or BounceReason.OURS.value, len(ours))
