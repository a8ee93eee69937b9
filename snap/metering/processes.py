"""Which of the Procfile's processes this is."""

import os

# The variable that `snap.launch` sets.
VARIABLE = "SNAP_PROCESS"
NAMES = ("web", "ws", "worker", "emails", "sweeper")
# Any other program, such as a command of manage.py.
COMMAND = "command"


def process_name() -> str:
    """Return `web`, `ws`, `worker`, `emails` or `sweeper`, or `command` for other programs."""
    name = os.environ.get(VARIABLE, "")
    if name in NAMES:
        return name
    return COMMAND
