"""What is queued: requests, emails, and the emergency journal of this host. Read from the rows."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DurationField,
    Expression,
    ExpressionWrapper,
    F,
    Max,
    Q,
    When,
)
from django.db.models.functions import Greatest, Now

from guests.emergency.intake import EMAIL_TAKEN
from guests.emergency.journal import JournalError, get_journal
from guests.models import DeadEntry, GuestRequest
from notifications.kinds import paused_kinds
from notifications.models import Email

CODES = "codes"
BULK = "bulk"


@dataclass(frozen=True)
class Queue:
    """How many rows wait, and for how many seconds the oldest of them has waited."""

    depth: int = 0
    oldest_age: float = 0.0


@dataclass(frozen=True)
class Queues:
    """All queues. `dead` rows have failed all their attempts and wait for staff."""

    # Requests whose turn has come and that have not ended.
    requests: Queue = field(default_factory=Queue)
    # Requests that were accepted past a limit, and whose turn comes later.
    in_line: int = 0
    dead_requests: int = 0
    # By lane: `codes` or `bulk`.
    emails: dict[str, Queue] = field(default_factory=dict)
    dead_emails: int = 0
    # Entries of this host that are not in the database yet. None: the journal cannot be read.
    journal: Queue | None = field(default_factory=Queue)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_queues() -> Queues:
    """Return the queues now: five short queries, and a look at this host's journal."""
    requests, in_line = read_requests()
    return Queues(
        requests=requests,
        in_line=in_line,
        dead_requests=count_dead_requests(),
        emails=read_emails(),
        dead_emails=Email.objects.filter(state=Email.State.DEAD).count(),
        journal=read_journal(),
    )


def read_requests() -> tuple[Queue, int]:
    """Return the requests that workers should end, and how many wait for their turn. One query.

    A request that failed keeps its age. Its next attempt may come later.
    """
    has_turn = Q(attempts__gt=0) | Q(next_attempt_at__lte=Now())
    found = GuestRequest.objects.pending().aggregate(
        depth=Count("pk", filter=has_turn),
        in_line=Count("pk", filter=~has_turn),
        oldest=Max(_age_of(due_since()), filter=has_turn),
    )
    return _queue(found["depth"], found["oldest"]), found["in_line"]


def due_since() -> Case:
    """Return the expression for when a request's turn came.

    That is its acceptance, or later if it was accepted past a limit. A request of the emergency
    journal has waited since its acceptance, although its row is younger.
    """
    turn = When(attempts=0, level__lt=3, then=Greatest("accepted_at", "next_attempt_at"))
    return Case(turn, default=F("accepted_at"))


def read_emails() -> dict[str, Queue]:
    """Return the queued emails by lane, without those that wait for a switch. One query."""
    queues = {CODES: Queue(), BULK: Queue()}
    queued = Email.objects.filter(state=Email.State.QUEUED).exclude(kind__in=paused_kinds())
    lanes = queued.order_by().values("fast")
    for row in lanes.annotate(depth=Count("pk"), oldest=Max(_age_of(F("queued_at")))):
        lane = CODES if row["fast"] else BULK
        queues[lane] = _queue(row["depth"], row["oldest"])
    return queues


def count_dead_requests() -> int:
    """Return how many requests and journal entries of all hosts have failed. Two queries."""
    requests = GuestRequest.objects.filter(state=GuestRequest.State.DEAD).count()
    return requests + DeadEntry.objects.exclude(error=EMAIL_TAKEN).count()


def read_journal() -> Queue | None:
    """Return the waiting entries of this host's journal, or None if it cannot be read."""
    try:
        count, oldest = get_journal().waiting()
    except JournalError:
        return None
    return Queue(count, _seconds_since(oldest))


def _age_of(since: Case | F) -> Expression:
    return ExpressionWrapper(Now() - since, output_field=DurationField())


def _queue(depth: int, oldest: timedelta | None) -> Queue:
    if oldest is None:
        return Queue(depth)
    return Queue(depth, max(0.0, oldest.total_seconds()))


def _seconds_since(body: str) -> float:
    """Return the seconds since the acceptance of an entry; 0 if its text cannot be read."""
    try:
        accepted_at = datetime.fromisoformat(json.loads(body)["accepted_at"])
        return max(0.0, (datetime.now(UTC) - accepted_at).total_seconds())
    except (ValueError, TypeError, KeyError):
        return 0.0
