"""What a process knows of the switches and modes: a copy that is refreshed once a second.

A thread reads both by one query. While the database is away, and in processes that have not started
the thread, the last known values hold; before the first query all switches are on, and no mode.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import sleep

from django.conf import settings
from django.db import Error, close_old_connections, connection

from snap.local_cache import on_reset
from snap.resilience.connections import deadline
from snap.resilience.database import database_breaker

log = logging.getLogger(__name__)

# Seconds that a query may take.
QUERY_SECONDS = 2.0

# Functions that the thread calls after each look, to show figures of this process.
each_round: list[Callable[[], None]] = []

# A mode is on if staff have set it so, and else if the monitor has.
QUERY = """
SELECT 'switch', name, active FROM waffle_switch
UNION ALL
SELECT 'mode', name, CASE WHEN override_until > now() THEN override ELSE is_on END FROM snap_mode
"""


@dataclass(frozen=True)
class Snapshot:
    """The switches by name, and the modes that are on."""

    switches: Mapping[str, bool] = field(default_factory=dict)
    modes: frozenset[str] = frozenset()


class _Process:
    """The state of this process."""

    snapshot = Snapshot()
    thread: threading.Thread | None = None
    is_failing = False


def current() -> Snapshot:
    """Return what this process knows. Never a query."""
    return _Process.snapshot


def refresh() -> None:
    """Read switches and modes by one query. Raises django.db.Error; the last values hold then."""
    switches, modes = {}, set()
    with connection.cursor() as cursor:
        cursor.execute(QUERY)
        for source, name, is_on in cursor.fetchall():
            if source == "switch":
                switches[name] = is_on
            elif is_on:
                modes.add(name)
    _Process.snapshot = Snapshot(switches, frozenset(modes))


def start() -> None:
    """Start the thread that refreshes the snapshot of this process, unless it runs."""
    if _Process.thread is None and settings.CONTROL_REFRESH_SECONDS:
        _Process.thread = threading.Thread(target=_run, name="snapshot", daemon=True)
        _Process.thread.start()


def _run() -> None:
    while True:
        if database_breaker.state != "open":
            _refresh_safely()
        for function in each_round:
            function()
        sleep(settings.CONTROL_REFRESH_SECONDS)


def _refresh_safely() -> None:
    """Refresh. Log a failure once, until it is over."""
    try:
        with deadline(QUERY_SECONDS):
            refresh()
    except Error as error:
        if not _Process.is_failing:
            log.warning("switches_not_refreshed", extra={"error": type(error).__name__})
        _Process.is_failing = True
    else:
        _Process.is_failing = False
    finally:
        close_old_connections()


def _forget() -> None:
    _Process.snapshot = Snapshot()


def _forget_thread() -> None:
    """Threads do not outlive a fork."""
    _Process.thread = None


on_reset(_forget)
os.register_at_fork(after_in_child=_forget_thread)
