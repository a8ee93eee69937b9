"""Celery tasks of guest lists."""

from celery import shared_task
from django.conf import settings

from guests.requests.creating import create_due_guests


@shared_task(name="guests.tasks.create_guests")
def create_guests() -> None:
    """End the due requests.

    The message is only a wake-up. The sweeper finds requests whose message was lost, and a second
    message finds nothing due.
    """
    create_due_guests(pause=settings.GUEST_BATCH_PAUSE)
