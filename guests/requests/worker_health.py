"""Whether workers take up the requests that are due, as /readyz tells."""

from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models.functions import Now

from guests.models import GuestRequest

KEY = "guests:workers-away"
# Seconds that the sweeper's note is good for. While people come it renews the note every 5 seconds.
GOOD_FOR = 15


def note_workers_away() -> None:
    """Note that the sweeper does the workers' work, although they could be woken."""
    cache.set(KEY, 1, GOOD_FOR)


def workers_are_working() -> bool:
    """Say whether workers do their work, as far as one can see. One query, and one to the cache.

    They do not when a request is due for longer than they are given, or when the sweeper has had to
    take requests over.
    """
    since = Now() - timedelta(seconds=settings.SWEEP_TAKES_OVER)
    is_overdue = GuestRequest.objects.pending().filter(next_attempt_at__lte=since).exists()
    return not is_overdue and not cache.get(KEY)
