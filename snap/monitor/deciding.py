"""Which modes are on: one sweeper of all hosts decides it every MONITOR_SECONDS.

Each sweeper looks every second whether a decision is due. The first that finds one due gets an
advisory lock for its transaction, so one decides, and another does when that one has ended. Locks
of a transaction also work through PgBouncer.
"""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from socket import gethostname

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from prometheus_client import Counter, Gauge

from snap.control.modes import MODES
from snap.control.snapshot import current
from snap.local_cache import on_reset
from snap.models import HostReading, LoadMonitor, Mode, ModeChange
from snap.monitor.changes import locked_modes, note_change
from snap.monitor.connections import read_connections
from snap.monitor.host import MEGABYTE
from snap.monitor.rules import Figures, Load, Standing, load_of, next_standing
from snap.monitor.samples import error_share, response_ms, stored_samples, traffic, window
from snap.observability.readings import Reading

log = logging.getLogger(__name__)

# The number of the advisory lock, which no other code uses.
LOCK = 17_001
# Seconds after which PostgreSQL ends the transaction of a sweeper that was stopped in the middle.
STUCK_SECONDS = 4
# A decision is due so many seconds early: sweepers look every second, and the one that takes over
# must decide within MONITOR_SECONDS of the last decision.
EARLY_SECONDS = 1.5
# Seconds after the end of the window at which a host counts as gone: its samples are too old.
GONE_SECONDS = 5.0
# Seconds after which the row of such a host is deleted.
FORGOTTEN_SECONDS = 300.0

mode_gauge = Gauge(
    "load_mode", "1 while the mode is on", ["mode"], multiprocess_mode="livemostrecent"
)
mode_changes = Counter(
    "load_mode_changes", "Changes of modes, by what or who made them", ["mode", "source"]
)


class _Process:
    """Whether the log has this process. Sweepers of two hosts decide in turns."""

    has_decided = False


def is_decision_due() -> bool:
    """Return whether the last decision of all sweepers is MONITOR_SECONDS old. One query."""
    if not settings.MONITOR_SECONDS:
        return False
    age = timedelta(seconds=max(0.0, settings.MONITOR_SECONDS - EARLY_SECONDS))
    # A time in the future is of a database whose clock was wrong.
    recent = LoadMonitor.objects.filter(decided_at__gt=Now() - age, decided_at__lte=Now())
    return not recent.exists()


def decide(count_queue: Callable[[], int]) -> bool:
    """Measure the load, and begin and end modes. Return False if another sweeper decides now.

    `count_queue` returns the number of due requests; it is called in the transaction. Some 15
    queries, 10 ms.
    """
    with transaction.atomic():
        if not _lock() or not is_decision_due():
            return False
        figures = measure(count_queue())
        _note_decision(figures)
        for mode in locked_modes():
            _end_expired_override(mode)
            _apply(mode, load_of(mode.name, figures))
        counted = _count_changes()
        HostReading.objects.forget(FORGOTTEN_SECONDS)
    for mode_name, source in counted:
        mode_changes.labels(mode_name, source).inc()
    return True


def _lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{STUCK_SECONDS}s'")
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def measure(queue_depth: int) -> Figures:
    """Return the figures of all hosts whose sweepers store readings. Two queries."""
    hosts = HostReading.objects.recent(window() + GONE_SECONDS)
    samples = []
    memory: list[int] = []
    for host in hosts:
        samples += stored_samples(host.values, host.age)
        memory += Reading.from_json(host.values).memory.values()
    counts = traffic(samples, window())
    connections = read_connections()
    return Figures(
        hosts=len(hosts),
        has_metrics=bool(memory),
        requests=round(counts.requests),
        response_ms=round(response_ms(counts), 1),
        error_percent=round(error_share(counts), 2),
        connections=connections.used,
        max_connections=connections.most,
        queue_depth=queue_depth,
        memory=max(memory, default=0) // MEGABYTE,
    )


def _note_decision(figures: Figures) -> None:
    me = f"{gethostname()}:{os.getpid()}"
    if not _Process.has_decided:
        _Process.has_decided = True
        log.info("load_monitor_decides", extra={"decided_by": me})
    values = {"decided_at": Now(), "decided_by": me, "figures": figures.to_json()}
    LoadMonitor.objects.update_or_create(pk=LoadMonitor.ROW, defaults=values)


def _end_expired_override(mode: Mode) -> None:
    """Note in the history that what staff had set has ended. Processes know that already."""
    if mode.override is None or mode.is_set_by_hand:
        return
    was_on = mode.override
    mode.clear_override()
    note_change(mode, was_on=was_on, source=ModeChange.Source.EXPIRY)


def _apply(mode: Mode, load: Load) -> None:
    standing = Standing(mode.is_on, mode.changed_at.timestamp(), _seconds(mode.well_since))
    decided = next_standing(standing, load.share, mode.database_now.timestamp())
    if decided == standing:
        return
    was_active = mode.is_active
    mode.is_on = decided.is_on
    mode.changed_at = datetime.fromtimestamp(decided.changed_at, UTC)
    mode.well_since = None
    if decided.well_since is not None:
        mode.well_since = datetime.fromtimestamp(decided.well_since, UTC)
    mode.save(update_fields=["is_on", "changed_at", "well_since"])
    if mode.is_active != was_active:
        note_change(mode, was_on=was_active, source=ModeChange.Source.MONITOR, reason=load.reason)
    elif decided.is_on != standing.is_on:
        about = {"mode": mode.name, "is_on": decided.is_on, "reason": load.reason}
        log.info("mode_decision_overridden", extra=about)


def _seconds(at: datetime | None) -> float | None:
    if at is None:
        return None
    return at.timestamp()


def _count_changes() -> list[tuple[str, str]]:
    """Return the mode and source of each change that no sweeper has counted yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE snap_modechange SET is_counted = true WHERE NOT is_counted"
            " RETURNING mode, source"
        )
        return [(str(mode), str(source)) for mode, source in cursor.fetchall()]


def export_modes() -> None:
    """Set `load_mode` to the modes that are on as this process knows them. No query.

    The counter begins at 0 for each mode: Prometheus cannot see the first increase otherwise.
    """
    active = current().modes
    for name in MODES:
        mode_gauge.labels(name).set(name in active)
        for source in ModeChange.Source.values:
            mode_changes.labels(name, source)


def _forget() -> None:
    _Process.has_decided = False


on_reset(_forget)
