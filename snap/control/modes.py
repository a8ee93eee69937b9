"""The modes in which SNAP does less, or does it otherwise, while a night is too crowded.

The load monitor (`snap.monitor`) sets them; staff can override it. Code reads them here, from the
snapshot of its process: no query. docs/reference.md lists what each mode changes.
"""

import logging

from django.conf import settings

from snap.control import snapshot
from snap.control.snapshot import current
from snap.local_cache import on_reset

log = logging.getLogger(__name__)

EMERGENCY = "emergency"
QUEUE = "queue"
MODES = (EMERGENCY, QUEUE)

# In emergency mode, what is shown to staff by itself is refreshed so many times less often.
SLOWER = 5


class _Process:
    """The modes that this process has told the log."""

    modes: frozenset[str] = frozenset()


def is_emergency() -> bool:
    """Return whether emergency mode is on: what can wait is postponed."""
    return EMERGENCY in current().modes


def is_queueing() -> bool:
    """Return whether queue mode is on: batches are larger, and newcomers are paced."""
    return QUEUE in current().modes


def is_crowded() -> bool:
    """Return whether any mode is on: newcomers are paced, and estimates are longer."""
    return bool(current().modes)


def paced(requests_a_minute: int) -> int:
    """Return the admission rate that holds now for a rate: a share of it while a mode is on."""
    if not is_crowded():
        return requests_a_minute
    return max(1, requests_a_minute * settings.MODE_ADMISSION_PERCENT // 100)


def batch_factor() -> int:
    """Return how many times larger batches are now, and the pauses in which they collect."""
    if not is_queueing():
        return 1
    return settings.MODE_BATCH_FACTOR


def slowed(seconds: float) -> float:
    """Return the pause between two refreshes of a page of staff: longer in emergency mode."""
    if not is_emergency():
        return seconds
    return seconds * SLOWER


def email_wait(*, is_bulk: bool = False) -> float:
    """Return the seconds by which emails other than codes are postponed now.

    They go out after that even if emergency mode is still on.
    """
    if not is_emergency():
        return 0.0
    if is_bulk:
        return settings.MODE_BULK_EMAIL_SECONDS
    return settings.MODE_EMAIL_SECONDS


def _report() -> None:
    """Log the modes that this process follows, when they have changed."""
    if current().modes != _Process.modes:
        _Process.modes = current().modes
        log.info("modes_followed", extra={"modes": ",".join(sorted(_Process.modes)) or "none"})


def _forget() -> None:
    _Process.modes = frozenset()


snapshot.on_change.append(_report)
on_reset(_forget)
