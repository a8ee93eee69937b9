"""What a process knows of the switches and modes: a copy that is refreshed once a second.

A thread reads both by one query, over a connection of its own: a pool whose connections are all in
use delays no switch, and a forked child inherits no connection. While the database is away, and in
processes that have not started the thread, the last known values hold. Before the first query all
switches are on, and no mode.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import sleep
from typing import Any

from django.conf import settings
from django.db import connection

from snap.local_cache import on_reset
from snap.resilience.connections import BoundedConnection, deadline

log = logging.getLogger(__name__)

# Seconds that connecting and reading may take together. libpq itself waits 2 seconds or more.
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
    is_read = False
    thread: threading.Thread | None = None
    is_failing = False
    has_warned_of_figures = False


# Called after a refresh with other values than before, and after the first one of a process.
on_change: list[Callable[[], None]] = []


def current() -> Snapshot:
    """Return what this process knows. Never a query."""
    return _Process.snapshot


def refresh() -> None:
    """Read switches and modes by one query. Raises django.db.Error; the last values hold then."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY)
        _store(cursor.fetchall())


def refresh_without_thread() -> None:
    """Refresh in a process that has no thread for it, such as a command. Raises django.db.Error."""
    if _Process.thread is None:
        refresh()


def _store(rows: Iterable[tuple[str, str, bool]]) -> None:
    switches, modes = {}, set()
    for source, name, is_on in rows:
        if source == "switch":
            switches[name] = is_on
        elif is_on:
            modes.add(name)
    read = Snapshot(switches, frozenset(modes))
    if _Process.is_read and read == _Process.snapshot:
        return
    _Process.snapshot, _Process.is_read = read, True
    for report in on_change:
        report()


def start() -> None:
    """Start the thread that refreshes the snapshot of this process, unless it runs."""
    if _Process.thread is None and settings.CONTROL_REFRESH_SECONDS:
        _Process.thread = threading.Thread(target=_run, name="snapshot", daemon=True)
        _Process.thread.start()


def _run() -> None:
    own: BoundedConnection | None = None
    while True:
        own = _refresh_over(own)
        _show_figures()
        sleep(settings.CONTROL_REFRESH_SECONDS)


def _show_figures() -> None:
    try:
        for show in each_round:
            show()
    except Exception as error:  # noqa: BLE001 (the thread must live as long as its process)
        if not _Process.has_warned_of_figures:
            log.warning("figures_not_shown", extra={"error": type(error).__name__})
        _Process.has_warned_of_figures = True


def _refresh_over(own: BoundedConnection | None) -> BoundedConnection | None:
    """Refresh over a connection, a new one for None. Return it, or None when it is of no use.

    Logs a failure once, until it is over. Without the breaker: the process learns of a switch as
    soon as the database is back, whether or not a request has asked for it.
    """
    try:
        with deadline(QUERY_SECONDS):
            own = own or BoundedConnection.connect(**_parameters())
            _store(own.execute(QUERY).fetchall())
    except Exception as error:  # noqa: BLE001 (the thread must live as long as its process)
        if not _Process.is_failing:
            log.warning("switches_not_refreshed", extra={"error": type(error).__name__})
        _Process.is_failing = True
        if own is not None:
            own.close()
        return None
    if _Process.is_failing:
        log.info("switches_refreshed_again")
    _Process.is_failing = False
    return own


def _parameters() -> dict[str, Any]:
    return {**connection.get_connection_params(), "autocommit": True}


def _forget() -> None:
    _Process.snapshot, _Process.is_read, _Process.is_failing = Snapshot(), False, False


def _start_in_child() -> None:
    """Threads do not outlive a fork."""
    had_thread = _Process.thread is not None
    _Process.thread = None
    if had_thread:
        start()


on_reset(_forget)
os.register_at_fork(after_in_child=_start_in_child)
