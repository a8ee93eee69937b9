"""The switches with which staff turn parts of SNAP off and on without a restart.

A switch is a row of django-waffle, which staff change in admin. Code reads it by `is_on`, from the
snapshot of the process: no query, no cache.
"""

from collections.abc import Mapping

from snap.control.snapshot import current

ASYNC_CREATION = "async_creation"
BATCHING = "batching"
QR_POOL = "qr_pool"
CHALLENGE = "challenge"
ADMISSION_PACING = "admission_pacing"
OPEN_TRACKING = "open_tracking"
CHECK_IN = "check_in"
# Followed by the kind of email: `emails_welcome`.
EMAILS = "emails_"

# What each switch turns off, in English, for the note that admin shows.
SWITCHES: dict[str, str] = {
    ASYNC_CREATION: "Requests are queued for workers. Off: each request creates its guest itself.",
    BATCHING: "Workers create the guests of several requests at once. Off: one at a time.",
    QR_POOL: "New guests take QR codes that were rendered ahead. Off: each is rendered then.",
    CHALLENGE: "Repeated attempts have to solve a challenge. Off: they are refused until later.",
    ADMISSION_PACING: "Newcomers wait in line past the admission rate. Off: nobody waits in line.",
    OPEN_TRACKING: "Emails report when they are opened, if EMAIL_OPEN_TRACKING allows it.",
    CHECK_IN: "Staff check guests in at the door.",
}


def is_on(name: str) -> bool:
    """Return whether a switch is on. A switch without a row is on. Takes under 1 µs."""
    switches: Mapping[str, bool] = current().switches
    return switches.get(name, True)
