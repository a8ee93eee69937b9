"""Check of the clock of this host."""

import ctypes
from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Warning, register

from snap.setup import SERVERS

# What adjtimex returns while nothing sets the clock (linux/timex.h).
TIME_ERROR = 5
# A `struct timex` with `modes` 0, which reads and changes nothing. It has 208 bytes.
TIMEX_SIZE = 512


@register(SERVERS, deploy=True)
def check_host_clock(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of a clock that nothing sets: codes of authenticator apps and limits depend on it."""
    if not databases:
        return []
    return check_state(clock_state())


def check_state(state: int) -> list[CheckMessage]:
    if state != TIME_ERROR:
        return []
    return [
        Warning(
            "Nothing sets the clock of this host: in weeks it is wrong by seconds, and codes of"
            " authenticator apps fail.",
            hint="Run chrony or systemd-timesyncd on the host.",
            id="snap.W151",
        )
    ]


def clock_state() -> int:
    """Return what the kernel says of its clock; -1 if it does not tell."""
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.adjtimex(ctypes.create_string_buffer(TIMEX_SIZE)))
