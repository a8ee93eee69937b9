"""The check of /readyz whether workers take up due requests."""

from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models.functions import Now

from guests.models import GuestRequest

CACHE_KEY = "guests:workers-away"
# The sweeper renews its note every 5 seconds while requests arrive.
NOTE_SECONDS = 15


def note_workers_unavailable() -> None:
    """Note that the sweeper does the workers' work although the broker takes wake-ups."""
    cache.set(CACHE_KEY, 1, NOTE_SECONDS)


def workers_are_working() -> bool:
    """Return whether workers take up due requests. One query and one look at the cache.

    They do not if a request is overdue by SWEEP_TAKES_OVER seconds, or if the sweeper has noted
    that it does their work.
    """
    since = Now() - timedelta(seconds=settings.SWEEP_TAKES_OVER)
    is_overdue = GuestRequest.objects.pending().filter(next_attempt_at__lte=since).exists()
    return not is_overdue and not cache.get(CACHE_KEY)
