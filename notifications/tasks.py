from time import monotonic

from celery import shared_task

from notifications.services import BATCH, send_due_emails, wake_emails_worker

# Seconds after which the rest is left to a task of its own, well within the time limits.
LONG_ENOUGH = 30


# A batch may run for half its lease and one slow email more, so the limits leave room for that:
# a task that is stopped between sending and recording sends twice.
@shared_task(ignore_result=True, soft_time_limit=150, time_limit=180)
def send_emails() -> None:
    """Send all emails that are due. What comes after the last batch has a wake-up of its own."""
    stop_at = monotonic() + LONG_ENOUGH
    while send_due_emails() == BATCH:
        if monotonic() > stop_at:
            wake_emails_worker()
            return
