"""`manage.py sweeper`: a process of its own that picks up what nobody else has, broker or not."""

import logging
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.suspicious import purge_suspicious
from guests.claims.services import grant_unanswered_claims
from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.emergency.mirror import get_mirror
from guests.emergency.snapshots import save_listed_events
from guests.models import GuestRequest
from guests.requests.accepting import wake_guests_worker
from guests.requests.creating import create_guests_for_event
from guests.requests.places import events_owing_places, fill_free_places
from guests.requests.worker_health import note_workers_away
from notifications.models import Email
from notifications.services import send_due_emails, wake_emails_worker, write_kept_outcomes
from snap.observability.logs import describe_error
from snap.resilience.database import breaker
from snap.resilience.wakeup import WakeUp

log = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0  # seconds between two tries while something is wrong
LOOK_EVERY = 0.2  # seconds between two looks at the database's breaker while it is open
CLEAN_EVERY = 3600.0  # seconds between two removals of what nobody looks at any more
CLAIMS_EVERY = 60.0  # seconds between two looks for claims that nobody has answered in time
EVENTS_EVERY = 10.0  # seconds between two looks at the listed events
MIRROR_SHARE = 0.02  # of the time
SIGNALS = {signal.SIGTERM, signal.SIGINT}

Stopping = Callable[[], bool]
Sweep = Callable[[Stopping], None]


class Command(BaseCommand):
    help = (
        "Every SWEEP_INTERVAL seconds wake the workers for what they have missed, and do their work"
        " when the broker is away or they have not come for SWEEP_TAKES_OVER seconds, or for"
        " emails SWEEP_TAKES_OVER_EMAILS."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="sweep once and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            for sweep in [*SWEEPS, *(sweep for sweep, _ in SELDOM), sweep_mirror]:
                sweep(lambda: False)
        else:
            sweep_until_told_to_stop()


def sweep_until_told_to_stop() -> None:
    """Run each sweep in a thread of its own until SIGTERM or SIGINT; a batch begun is finished."""
    # Blocked signals wait for sigwait, so that they cannot come between two instructions here.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    stop = threading.Event()
    threads = [
        threading.Thread(target=keep_up, args=(sweep, stop, settings.SWEEP_INTERVAL))
        for sweep in [*SWEEPS, sparingly(sweep_mirror, MIRROR_SHARE)]
    ]
    threads += [
        threading.Thread(target=keep_up, args=(sweep, stop, interval)) for sweep, interval in SELDOM
    ]
    for thread in threads:
        thread.start()
    signal.sigwait(SIGNALS)
    stop.set()
    for thread in threads:
        thread.join()


def keep_up(sweep: Sweep, stop: threading.Event, interval: float) -> None:
    """Sweep every `interval` seconds, whatever goes wrong; a failure is logged once, until it is
    over.

    While the database is away nothing is tried, and as soon as its breaker closes everything is.
    """
    pause, is_failing = interval, False
    while not stop.wait(pause):
        if breaker.state == "open":
            pause = min(LOOK_EVERY, interval)
            continue
        try:
            sweep(stop.is_set)
        except Exception as error:  # noqa: BLE001 (whatever it is, the next sweep must come)
            if not is_failing:
                log.warning(
                    "sweep_failed", extra={"sweep": sweep.__name__, "error": describe_error(error)}
                )
            pause, is_failing = min(pause * 2, max(LONGEST_PAUSE, interval)), True
            if isinstance(error, (OperationalError, InterfaceError)):
                breaker.suspect()
                pause = min(LOOK_EVERY, interval)
        else:
            if is_failing:
                log.info("sweep_works_again", extra={"sweep": sweep.__name__})
            pause, is_failing = interval, False
        finally:
            close_old_connections()


def sparingly(sweep: Sweep, share: float) -> Sweep:
    """Have a sweep take at most that share of the time: it rests after each round."""
    rests_until = 0.0

    @wraps(sweep)
    def rest_between(stopping: Stopping) -> None:
        nonlocal rests_until
        began = monotonic()
        if began < rests_until:
            return
        sweep(stopping)
        ended = monotonic()
        rests_until = ended + (ended - began) / share

    return rest_between


def sweep_requests(stopping: Stopping) -> None:
    """Have guests made of requests that are due."""
    if not was_left(GuestRequest.objects.due(), wake_guests_worker, settings.SWEEP_TAKES_OVER):
        return
    if not wake_guests_worker.is_failing():
        note_workers_away()
    due = GuestRequest.objects.due().order_by().values_list("event_id", flat=True).distinct()
    for event_id in due:
        while not stopping() and create_guests_for_event(event_id):
            log.info("sweeper_did_requests", extra={"event_id": event_id})


def sweep_waiting(stopping: Stopping) -> None:
    """Give places that are free, as after a capacity was raised by hand, to those who wait.

    One batch for each list, and again while any list got some: no list waits for another one's end.
    """
    given = 1
    while given:
        given = sum(fill_free_places(event) for event in events_owing_places() if not stopping())


def sweep_emails(stopping: Stopping) -> None:
    """Write down what left already, and have emails sent that are due."""
    write_kept_outcomes()
    if was_left(Email.objects.due(), wake_emails_worker, settings.SWEEP_TAKES_OVER_EMAILS):
        while not stopping() and send_due_emails():
            log.info("sweeper_did_emails")


def sweep_journal(stopping: Stopping) -> None:
    """Carry what this host accepted while the database was away into it."""
    while not stopping() and drain(get_journal()):
        pass


def sweep_claims(stopping: Stopping) -> None:
    """Grant claims that nobody has answered, on unproven accounts without a place."""
    if granted := grant_unanswered_claims():
        log.info("claims_granted_by_time", extra={"claims": granted})


def sweep_mirror(stopping: Stopping) -> None:
    """Keep what holders see on this host while the database is away."""
    get_mirror().sync()


def sweep_events(stopping: Stopping) -> None:
    """Keep the events that this host shows while the database is away."""
    save_listed_events()


def clean(stopping: Stopping) -> None:
    """Remove suspicious activity that is older than SUSPICIOUS_DAYS."""
    if purged := purge_suspicious():
        log.info("suspicious_activity_purged", extra={"rows": purged})


SWEEPS: list[Sweep] = [
    sweep_journal,
    sweep_requests,
    sweep_waiting,
    sweep_emails,
]
# These run less often: a sweep, and the seconds between two runs.
SELDOM: list[tuple[Sweep, float]] = [
    (sweep_claims, CLAIMS_EVERY),
    (sweep_events, EVENTS_EVERY),
    (clean, CLEAN_EVERY),
]


def was_left(due: QuerySet[Any], wake_worker: WakeUp, patience: float) -> bool:
    """Wake the worker for rows that are overdue, and say whether to do its work here instead: the
    broker is away, or they are overdue for `patience` seconds, those of an outage not counted.
    """
    if not _for_longer_than(settings.SWEEP_INTERVAL, due):
        return False
    wake_worker()
    if wake_worker.is_failing():
        return True
    return not breaker.returned_within(patience) and _for_longer_than(patience, due)


def _for_longer_than(seconds: float, due: QuerySet[Any]) -> bool:
    return due.filter(next_attempt_at__lte=Now() - timedelta(seconds=seconds)).exists()
