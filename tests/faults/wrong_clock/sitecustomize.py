"""Loaded by every Python that has this folder in PYTHONPATH: the processes with a wrong clock.

libfaketime 0.9.10 (Debian 12) makes time.sleep fail: it moves the moment at which the sleep is to
end, which is on the monotonic clock, as if it were on the other one.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = sleep
