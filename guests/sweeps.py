"""The sweeps: each finds work of one kind that is due and does it, with or without the broker.

`manage.py sweeper` runs every sweep of SWEEPS in its own thread.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.suspicious import purge_suspicious
from guests.claims.services import grant_unanswered_claims
from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.emergency.mirror import get_mirror
from guests.emergency.mirror_sync import sync_mirror
from guests.emergency.snapshots import save_listed_events
from guests.lists.messages import queue_messages
from guests.models import GuestRequest
from guests.news.announcing import announce_changes
from guests.news.reminders import queue_reminders
from guests.overview.gauges import show_host, show_queues
from guests.overview.queues import read_requests
from guests.posters.upkeep import add_missing_sizes, delete_unused_posters
from guests.previews import delete_old_previews
from guests.requests.accepting import wake_guests_worker
from guests.requests.creating import create_guests_for_event
from guests.requests.giving_back import free_places_given_back
from guests.requests.line import end_line
from guests.requests.waiting_list import events_with_unfilled_places, fill_free_places
from guests.requests.worker_health import note_workers_unavailable
from notifications.models import Email
from notifications.sending import send_due_emails, write_kept_outcomes
from notifications.services import wake_codes_worker, wake_emails_worker
from snap.control.modes import email_wait
from snap.monitor.deciding import decide, export_modes, is_decision_due
from snap.monitor.host import store_reading, take_reading
from snap.resilience.database import database_breaker
from snap.resilience.wakeup import WakeUp

log = logging.getLogger(__name__)

# Returns whether the process is stopping: a sweep ends after the batch that it has begun.
IsStopping = Callable[[], bool]


@dataclass(frozen=True)
class Sweep:
    """A sweep, and how often it runs.

    It runs every `interval` seconds, by default SWEEP_INTERVAL. `max_share` limits the share of the
    time that it takes: after a long run it pauses for longer. Emergency mode postpones a sweep that
    `can_wait`. A sweep that does not need the database also runs while that is away.
    """

    run: Callable[[IsStopping], None]
    interval: float | None = None
    max_share: float = 1.0
    can_wait: bool = False
    needs_database: bool = True

    @property
    def name(self) -> str:
        return self.run.__name__

    def pause_after(self, seconds: float) -> float:
        """Return the seconds to wait after a run that took so many seconds."""
        pause = settings.SWEEP_INTERVAL if self.interval is None else self.interval
        if self.max_share < 1:
            pause = max(pause, seconds / self.max_share)
        return pause


def sweep_journal(is_stopping: IsStopping) -> None:
    """Import the requests that this host accepted while the database was unavailable."""
    while not is_stopping() and drain(get_journal()):
        pass


def sweep_line(is_stopping: IsStopping) -> None:
    """Let the requests in line go on while staff have turned the line off."""
    if requests := end_line():
        log.info("line_ended", extra={"requests": requests})
        wake_guests_worker()


def sweep_requests(is_stopping: IsStopping) -> None:
    """Create the guests of overdue requests."""
    due = GuestRequest.objects.due()
    if not _must_take_over(due, wake_guests_worker, settings.SWEEP_TAKES_OVER):
        return
    if not wake_guests_worker.is_failing():
        note_workers_unavailable()
    for event_id in due.order_by().values_list("event_id", flat=True).distinct():
        while not is_stopping() and create_guests_for_event(event_id):
            log.info("sweeper_created_guests", extra={"event_id": event_id})


def sweep_waiting_lists(is_stopping: IsStopping) -> None:
    """Promote waiting guests to free places, for example after staff have raised a capacity.

    Each round promotes one batch of every list, so a long list does not delay the others.
    """
    promoted = 1
    while promoted:
        promoted = 0
        for event in events_with_unfilled_places():
            if is_stopping():
                return
            promoted += fill_free_places(event)


def sweep_places_given_back(is_stopping: IsStopping) -> None:
    """Free the places that guests gave back, once they can no longer undo it."""
    while not is_stopping() and free_places_given_back():
        log.info("sweeper_freed_places_given_back")


def sweep_event_news(is_stopping: IsStopping) -> None:
    """Queue the emails about events that have changed and whose guests were not told yet."""
    announce_changes(is_stopping)


def sweep_reminders(is_stopping: IsStopping) -> None:
    """Queue the reminders of events that begin in the next day."""
    if queued := queue_reminders(is_stopping):
        log.info("reminders_queued", extra={"emails": queued})


def sweep_emails(is_stopping: IsStopping) -> None:
    """Write the outcomes that this host has kept to the database, and send overdue emails."""
    write_kept_outcomes()
    due = Email.objects.due().filter(fast=False)
    takeover = settings.SWEEP_TAKES_OVER_EMAILS + email_wait()
    if _must_take_over(due, wake_emails_worker, takeover):
        while not is_stopping() and send_due_emails(fast=False):
            log.info("sweeper_sent_emails")


def sweep_codes(is_stopping: IsStopping) -> None:
    """Send overdue codes. Its thread never waits for other emails."""
    due = Email.objects.due().filter(fast=True)
    if _must_take_over(due, wake_codes_worker, settings.SWEEP_TAKES_OVER):
        while not is_stopping() and send_due_emails(fast=True):
            log.info("sweeper_sent_codes")


def sweep_list_messages(is_stopping: IsStopping) -> None:
    """Queue the emails of messages to lists, a batch of each in turn."""
    queue_messages(is_stopping)


def sweep_claims(is_stopping: IsStopping) -> None:
    """Grant claims that were not answered in time."""
    if granted := grant_unanswered_claims():
        log.info("unanswered_claims_granted", extra={"claims": granted})


def sweep_snapshots(is_stopping: IsStopping) -> None:
    """Save the events that this host shows while the database is unavailable."""
    save_listed_events()


def sweep_suspicious_activity(is_stopping: IsStopping) -> None:
    """Delete suspicious activity that is older than SUSPICIOUS_DAYS."""
    if purged := purge_suspicious():
        log.info("suspicious_activity_purged", extra={"rows": purged})


def sweep_mirror(is_stopping: IsStopping) -> None:
    """Copy the places that this host shows while the database is unavailable."""
    sync_mirror(get_mirror().path)


def sweep_posters(is_stopping: IsStopping) -> None:
    """Make sizes for older posters, delete unused posters and old images of link previews."""
    add_missing_sizes(is_stopping)
    delete_unused_posters(is_stopping)
    delete_old_previews(is_stopping)


def sweep_queue_metrics(is_stopping: IsStopping) -> None:
    """Show the queues of the database in metrics."""
    show_queues()


def sweep_host_metrics(is_stopping: IsStopping) -> None:
    """Show the level of service and the journal of this host in metrics."""
    show_host()


def sweep_readings(is_stopping: IsStopping) -> None:
    """Measure what the processes of this host have done since the last reading."""
    if settings.MONITOR_SECONDS:
        take_reading()


def sweep_load(is_stopping: IsStopping) -> None:
    """Store what was measured. Set the modes if no sweeper has done so for MONITOR_SECONDS."""
    store_reading()
    export_modes()
    if is_decision_due():
        decide(count_queue=lambda: read_requests()[0].depth)


SWEEPS = [
    Sweep(sweep_journal),
    Sweep(sweep_line),
    Sweep(sweep_requests),
    Sweep(sweep_waiting_lists),
    Sweep(sweep_places_given_back),
    Sweep(sweep_codes),
    Sweep(sweep_emails),
    Sweep(sweep_list_messages),
    Sweep(sweep_event_news),
    Sweep(sweep_reminders, interval=60.0),
    Sweep(sweep_claims, interval=60.0),
    Sweep(sweep_snapshots, interval=10.0),
    Sweep(sweep_suspicious_activity, interval=3600.0, can_wait=True),
    Sweep(sweep_mirror, max_share=0.02),
    Sweep(sweep_posters, interval=3600.0, can_wait=True),
    Sweep(sweep_queue_metrics, interval=5.0, max_share=0.02),
    Sweep(sweep_host_metrics, interval=5.0, needs_database=False),
    Sweep(sweep_readings, interval=settings.MONITOR_SECONDS or 10.0, needs_database=False),
    Sweep(sweep_load, interval=1.0),
]


def _must_take_over(due: QuerySet[Any], wake_worker: WakeUp, takeover_seconds: float) -> bool:
    """Wake the worker if rows are overdue. Return whether the sweeper must do its work.

    It must while the broker is unavailable, or when rows are overdue for `takeover_seconds`. After
    an outage of the database the worker gets that time from the return of the database.
    """
    if not _is_overdue(due, settings.SWEEP_INTERVAL):
        return False
    wake_worker()
    if wake_worker.is_failing():
        return True
    return not database_breaker.returned_within(takeover_seconds) and _is_overdue(
        due, takeover_seconds
    )


def _is_overdue(due: QuerySet[Any], seconds: float) -> bool:
    return due.filter(next_attempt_at__lte=Now() - timedelta(seconds=seconds)).exists()
