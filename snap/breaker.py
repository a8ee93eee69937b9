"""Circuit breakers: after some failures in a row a broken thing is left alone for a while.

The kept libraries either hold one lock for the length of a call, which makes threads wait for one
another, or keep their state in Redis, which may be what failed. A breaker here is of one process.
"""

import logging
import threading
from collections.abc import Callable
from time import monotonic

from prometheus_client import Gauge

log = logging.getLogger(__name__)

STATE = "circuit_breaker_state"
# 0 closed, 1 half-open, 2 open. With several processes the worst one shows.
state_gauge = Gauge(
    STATE,
    "0 closed, 1 half-open, 2 open",
    ["name"],
    multiprocess_mode="livemax",
)
LEVELS = {"closed": 0, "half_open": 1, "open": 2}


class Breaker:
    """Counts failures in a row; `threshold` of them open it for `pause` seconds.

    Then it is half-open: one call may try. Its success closes the breaker, its failure opens it
    for another pause. Safe with threads; nobody waits for anybody.
    """

    def __init__(
        self, name: str, *, threshold: int, pause: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self.name = name
        self.threshold = threshold
        self.pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._trial_since: float | None = None
        state_gauge.labels(name).set(0)

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half_open`: the pause is over and a trial decides."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() < self._opened_at + self.pause else "half_open"

    def allows(self) -> bool:
        """Say whether a call may be made now; when half-open, to one caller at a time."""
        with self._lock:
            if self._opened_at is None:
                return True
            now = self._clock()
            if now < self._opened_at + self.pause:
                return False
            # A trial that never came back must not keep the breaker open for ever.
            if self._trial_since is not None and now < self._trial_since + self.pause:
                return False
            self._trial_since = now
            state_gauge.labels(self.name).set(LEVELS["half_open"])
            return True

    def succeeded(self) -> None:
        """Record a call that was answered."""
        if not self._failures and self._opened_at is None:
            return
        with self._lock:
            was_open = self._opened_at is not None
            self._failures, self._opened_at, self._trial_since = 0, None, None
        if was_open:
            state_gauge.labels(self.name).set(LEVELS["closed"])
            log.warning("breaker_closed", extra={"breaker": self.name})

    def failed(self) -> None:
        """Record a call that was not answered."""
        with self._lock:
            self._failures += 1
            opens = self._trial_since is not None or self._failures >= self.threshold
            if opens:
                self._opened_at, self._trial_since = self._clock(), None
        if opens:
            state_gauge.labels(self.name).set(LEVELS["open"])
            log.error("breaker_opened", extra={"breaker": self.name, "failures": self._failures})
