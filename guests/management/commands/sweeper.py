"""`manage.py sweeper`: the process that runs the sweeps of `guests.sweeps`."""

import logging
import signal
import threading
from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections

from guests.sweeps import SWEEPS, Sweep
from snap.control import snapshot
from snap.control.modes import is_emergency
from snap.observability import tracing
from snap.observability.error_reports import report_error
from snap.observability.logs import describe_error
from snap.resilience.database import database_breaker

log = logging.getLogger(__name__)

MAX_RETRY_SECONDS = 5.0  # The longest pause of a failing sweep, unless its interval is longer.
BREAKER_CHECK_SECONDS = 0.2  # between two checks of the database's breaker while it is open
MODE_CHECK_SECONDS = 5.0  # between two checks of emergency mode while a sweep waits for its end
MAX_POSTPONED_SECONDS = 3600.0  # Emergency mode that never ends must not stop the upkeep.
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class Command(BaseCommand):
    help = (
        "Wake the workers for overdue rows, every SWEEP_INTERVAL seconds. Do their work while the"
        " broker is unavailable, or for rows that are overdue for SWEEP_TAKES_OVER seconds (emails:"
        " SWEEP_TAKES_OVER_EMAILS). Promote guests from waiting lists to free places, and grant"
        " claims that were not answered in time. Import the emergency journal, and save the copies"
        " that this host shows while the database is unavailable."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="run each sweep once and exit")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            snapshot.refresh()
            for sweep in SWEEPS:
                sweep.run(lambda: False)
        else:
            run_until_stopped()


def run_until_stopped() -> None:
    """Run each sweep in its own thread until SIGTERM or SIGINT. A batch in progress is finished."""
    # A blocked signal waits for sigwait, so it cannot interrupt the code before that.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    tracing.start()
    snapshot.start()
    stop = threading.Event()
    threads = []
    for sweep in SWEEPS:
        thread = threading.Thread(target=run_repeatedly, args=(sweep, stop))
        thread.start()
        threads.append(thread)
    signal.sigwait(STOP_SIGNALS)
    stop.set()
    for thread in threads:
        thread.join()


def run_repeatedly(sweep: Sweep, stop: threading.Event) -> None:
    """Run a sweep at its interval until `stop` is set. Log a failure once, until it is over.

    While the database's breaker is open, sweeps that need it do not run. They run as soon as it is
    closed. In emergency mode a sweep that can wait is postponed for MAX_POSTPONED_SECONDS at most.
    """
    interval = sweep.pause_after(0)
    pause = interval
    is_failing = False
    due_at = monotonic() + pause
    while not stop.wait(pause):
        if sweep.needs_database and database_breaker.state == "open":
            pause = min(BREAKER_CHECK_SECONDS, interval)
            continue
        if is_postponed(sweep, monotonic() - due_at):
            pause = min(MODE_CHECK_SECONDS, interval)
            continue
        began = monotonic()
        try:
            sweep.run(stop.is_set)
        except (OperationalError, InterfaceError) as error:
            database_breaker.suspect()
            pause = min(BREAKER_CHECK_SECONDS, interval)
            _log_failure(sweep, error, is_failing)
            is_failing = True
        except Exception as error:  # noqa: BLE001 (the next run must come, whatever the error)
            pause = min(pause * 2, max(MAX_RETRY_SECONDS, interval))
            _log_failure(sweep, error, is_failing)
            report_error(error)
            is_failing = True
        else:
            pause = sweep.pause_after(monotonic() - began)
            if is_failing:
                log.info("sweep_recovered", extra={"sweep": sweep.name})
            is_failing = False
        finally:
            due_at = monotonic() + pause
            close_old_connections()


def is_postponed(sweep: Sweep, overdue: float) -> bool:
    """Return whether emergency mode postpones a sweep that is overdue by so many seconds."""
    return sweep.can_wait and is_emergency() and overdue < MAX_POSTPONED_SECONDS


def _log_failure(sweep: Sweep, error: Exception, was_failing: bool) -> None:
    if not was_failing:
        about = {"sweep": sweep.name, "error": describe_error(error)}
        log.warning("sweep_failed", extra=about)
