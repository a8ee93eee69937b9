from celery import shared_task
from django.conf import settings

from guests.requests.creating import create_due_guests


@shared_task(name="guests.tasks.create_guests")
def create_guests() -> None:
    """End the requests that are due. A wake-up: sent twice or not at all, nothing is lost."""
    create_due_guests(pause=settings.GUEST_BATCH_PAUSE)
