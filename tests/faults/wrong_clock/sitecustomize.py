"""Replaces time.sleep in processes with a wrong clock, which have this folder in PYTHONPATH.

Under libfaketime 0.9.10 (Debian 12) time.sleep fails: the library shifts the end of the sleep,
which is a time of the monotonic clock, as if it were a time of the wall clock.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = sleep
