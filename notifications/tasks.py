"""The Celery tasks that send emails: codes in one, all others in the other.

Both run as threads of one process (`emails`). Bulk emails occupy at most BULK_TASKS of the threads,
so that the rest is always free for codes.
"""

from threading import BoundedSemaphore, Event
from time import monotonic

from celery import shared_task
from celery.signals import worker_shutting_down

from notifications.sending import send_due_emails
from notifications.services import wake_emails_worker

# Seconds after which the rest is left to another task.
MAX_SECONDS = 30
# Tasks of this process that send bulk emails at once: one builds while the other waits for
# responses.
BULK_TASKS = 2

_bulk_tasks = BoundedSemaphore(BULK_TASKS)
_is_wanted = Event()


class _Worker:
    """Whether this process shuts down. A plain value: a signal handler must not wait for a lock."""

    is_stopping = False


@worker_shutting_down.connect
def stop_after_this_batch(**_signal: object) -> None:
    """Have tasks end after their present batch, before the worker's supervisor ends them.

    Runs in the handler of the signal, which a second signal can interrupt.
    """
    _Worker.is_stopping = True


# The limits are for a pool of processes; threads have none. Leases and the timeouts of connections
# bound a task.
@shared_task(ignore_result=True, soft_time_limit=150, time_limit=180)
def send_codes() -> None:
    """Send all due codes. Codes that are queued after the last batch wake another task."""
    _send(fast=True)


@shared_task(ignore_result=True, soft_time_limit=150, time_limit=180)
def send_emails() -> None:
    """Send all due emails, unless enough tasks do so already. These look again at their end.

    The previous release wakes this task for codes, too.
    """
    _send(fast=True)
    _is_wanted.set()
    while _is_wanted.is_set() and _bulk_tasks.acquire(blocking=False):
        try:
            _is_wanted.clear()
            if not _send(fast=False):
                wake_emails_worker()
                return
        finally:
            _bulk_tasks.release()


def _send(*, fast: bool) -> bool:
    """Send what is due. Return False if time ran out before that."""
    stop_at = monotonic() + MAX_SECONDS
    while send_due_emails(fast=fast):
        if monotonic() > stop_at or _Worker.is_stopping:
            return False
    return True
