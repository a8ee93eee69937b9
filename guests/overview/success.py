"""End-to-end success: of the requests that SNAP has accepted, the share that ended in time.

Pages can be fast and free of errors while the work behind them fails.
"""

from datetime import UTC, datetime, timedelta

from django.db.models import Count, F, Max, Min, Q
from django.db.models.functions import Now

from guests.emergency.journal import JournalError, get_journal
from guests.models import GuestRequest
from guests.overview.queues import due_since
from snap.local_cache import on_reset

ENDED = (
    GuestRequest.State.CREATED,
    GuestRequest.State.WAITLISTED,
    GuestRequest.State.REFUSED,
)
# A request should end within this time of its turn.
IN_TIME = timedelta(seconds=60)
# Requests count for this long after that. The window moves, so success returns by itself.
WINDOW = timedelta(minutes=5)


# Rows that are read at most. More are not accepted within the window.
MAX_ROWS = 200_000


class _Process:
    """No request with an id up to this one is in the window. None: not known yet."""

    last_before: int | None = None


def success_percent() -> float:
    """Return the percentage of requests that ended in time, 100 without requests.

    They are the requests whose turn came 60 to 360 seconds ago, at any host, and the entries of
    this host's journal that are as old and not in the database yet. One query over the rows of
    some minutes.
    """
    rows = GuestRequest.objects.filter(pk__gt=_last_before()).annotate(due=due_since())
    is_recent = Q(due__gt=Now() - IN_TIME - WINDOW)
    is_inside = is_recent & Q(due__lte=Now() - IN_TIME)
    has_succeeded = Q(state__in=ENDED, ended_at__lte=F("due") + IN_TIME)
    found = rows.aggregate(
        accepted=Count("pk", filter=is_inside),
        succeeded=Count("pk", filter=is_inside & has_succeeded),
        first=Min("pk", filter=is_recent),
        last=Max("pk"),
    )
    _remember(found["first"], found["last"])
    accepted: int = found["accepted"] + _late_entries()
    if not accepted:
        return 100.0
    succeeded: int = found["succeeded"]
    return 100.0 * succeeded / accepted


def _last_before() -> int:
    if _Process.last_before is None:
        last = GuestRequest.objects.aggregate(last=Max("pk"))["last"] or 0
        _Process.last_before = max(0, last - MAX_ROWS)
    return _Process.last_before


def _remember(first: int | None, last: int | None) -> None:
    """Remember which rows the next look can leave out, by the ids of the rows of this one."""
    if last is not None:
        _Process.last_before = max(last - MAX_ROWS, last if first is None else first - 1)


def _late_entries() -> int:
    """Return how many entries of this host's journal wait past the time in which they should end.

    Entries of the last minutes only, as for requests.
    """
    until = datetime.now(UTC) - IN_TIME
    try:
        return get_journal().count_waiting((until - WINDOW).isoformat(), until.isoformat())
    except JournalError:
        return 0


def _forget() -> None:
    _Process.last_before = None


on_reset(_forget)
