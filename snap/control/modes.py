"""The modes in which SNAP does less, or does it otherwise, while a night is too crowded.

The load monitor sets them; staff can override it. Code reads them from the snapshot.
"""

from snap.control.snapshot import current

EMERGENCY = "emergency"
QUEUE = "queue"
MODES = (EMERGENCY, QUEUE)


def is_emergency() -> bool:
    """Return whether emergency mode is on: what can wait is postponed."""
    return EMERGENCY in current().modes


def is_queueing() -> bool:
    """Return whether queue mode is on: batches are larger, and newcomers are paced."""
    return QUEUE in current().modes
