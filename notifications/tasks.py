"""The Celery task that sends emails."""

from time import monotonic

from celery import shared_task

from notifications.sending import BATCH, send_due_emails
from notifications.services import wake_emails_worker

# Seconds after which the rest is left to another task, well within the time limits.
MAX_SECONDS = 30


# A batch can take half of its lease and one slow email more. The limits are longer: a task that is
# stopped between sending and recording an email sends it twice.
@shared_task(ignore_result=True, soft_time_limit=150, time_limit=180)
def send_emails() -> None:
    """Send all due emails. Emails that are queued after the last batch wake another task."""
    stop_at = monotonic() + MAX_SECONDS
    while send_due_emails() == BATCH:
        if monotonic() > stop_at:
            wake_emails_worker()
            return
