"""Whether emails report that they are opened."""

from django.conf import settings

from snap.control.switches import OPEN_TRACKING, is_on


def tracks_opens() -> bool:
    """Return whether EMAIL_OPEN_TRACKING is set, and staff have not turned the reports off."""
    return settings.EMAIL_OPEN_TRACKING and is_on(OPEN_TRACKING)
