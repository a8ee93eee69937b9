"""Circuit breakers: while a server does not respond, no call to it is made.

Each process has its own breakers. The maintained libraries either hold a lock for the length of a
call, so that threads wait for each other, or store their state in Redis, which can be down itself.
"""

import logging
import os
import threading
from collections.abc import Callable
from time import monotonic, sleep

from prometheus_client import Gauge

import snap.metering  # noqa: F401  (before the first metric is made)

log = logging.getLogger(__name__)

STATE = "circuit_breaker_state"
# 0 closed, 1 half-open, 2 open. Of several processes the highest value is shown.
state_gauge = Gauge(
    STATE,
    "0 closed, 1 half-open, 2 open",
    ["name"],
    multiprocess_mode="livemax",
)
LEVELS = {"closed": 0, "half_open": 1, "open": 2}

PROBE_EVERY = 1.0  # seconds from the start of one probe to the start of the next

# Returns whether the server responds. A probe has its own timeouts, of about two seconds.
Probe = Callable[[], bool]

# Held while a change is reported, and during a fork. A child that is forked in the middle of such a
# write has a locked gauge, or a stderr that refuses its next write: that would end its probe, and
# its breaker would stay open.
report_lock = threading.Lock()
os.register_at_fork(
    before=report_lock.acquire,
    after_in_parent=report_lock.release,
    after_in_child=report_lock.release,
)


class Breaker:
    """Prevents calls to a server that is away. There are two ways to open a breaker.

    `suspect` is for calls that were slow or cut off, which is no proof of an outage. A probe asks
    the server at once, in its own thread. If the server does not respond, the breaker opens, and
    the probe asks again every `every` seconds, or earlier if `wait` returns earlier. When the
    server responds, the breaker closes and the thread ends.

    `failed` is for a server that returns errors. `threshold` failures without a success
    between them open the breaker for `pause` seconds. Calls that failed at the same time count as
    one failure. After the pause the breaker is half-open: it allows one trial call. If the trial
    succeeds, the breaker closes; if it fails, the breaker opens for another pause.

    A probe that hangs for `pause` seconds also makes the breaker half-open. A breaker is safe
    between threads and after a fork, and no caller waits for another.
    """

    def __init__(
        self,
        name: str,
        *,
        threshold: int,
        pause: float,
        probe: Probe | None = None,
        every: float = PROBE_EVERY,
        wait: Callable[[float], None] = sleep,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.name = name
        self.threshold = threshold
        self.pause = pause
        # Callbacks that run in the probe's thread when the server is back.
        self.on_recovery: list[Callable[[], None]] = []
        self._probe = probe
        self._every = every
        self._wait = wait
        self._clock = clock
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        self._show_state("closed")

    def _show_state(self, state: str) -> None:
        with report_lock:
            state_gauge.labels(self.name).set(LEVELS[state])

    def _report(self, state: str, level: int, event: str, **fields: object) -> None:
        """Show a state in the metric and in the log."""
        self._show_state(state)
        with report_lock:
            log.log(level, event, extra={"breaker": self.name, **fields})

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = float("-inf")
        self._opened_at: float | None = None
        self._trial_since: float | None = None
        # The server did not respond to the last probe.
        self._is_away = False
        self._probe_thread: threading.Thread | None = None
        self._is_suspected = False
        self._returned_at = float("-inf")

    def returned_within(self, seconds: float) -> bool:
        """Return whether an outage ended in the last `seconds`."""
        return self._clock() < self._returned_at + seconds

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half_open`: the pause is over and the next call is a trial."""
        opened_at = self._opened_at
        if opened_at is None:
            return "closed"
        if self._clock() < opened_at + self.pause:
            return "open"
        return "half_open"

    def allows(self) -> bool:
        """Return whether a call may be made now. While half-open, only to one caller at a time."""
        with self._lock:
            if self._opened_at is None:
                return True
            now = self._clock()
            if now < self._opened_at + self.pause:
                return False
            # A trial without a result must not keep the breaker open for ever.
            if self._trial_since is not None and now < self._trial_since + self.pause:
                return False
            self._trial_since = now
            self._show_state("half_open")
            return True

    def succeeded(self) -> None:
        """Record a call to which the server responded."""
        if not self._failures and self._opened_at is None:
            return
        with self._lock:
            was_open = self._close()
        if was_open:
            self._report_closed()

    def failed(self, began: float | None = None) -> None:
        """Record a call to which the server returned an error.

        `began` is when the call started, by the breaker's clock. A call that started before the
        last failure was recorded is not counted, because both have the same cause.
        """
        with self._lock:
            if began is not None and began < self._failed_at:
                return
            self._failures += 1
            self._failed_at = self._clock()
            opens = self._trial_since is not None or self._failures >= self.threshold
            if opens:
                self._opened_at, self._trial_since = self._failed_at, None
        if opens:
            self._report("open", logging.ERROR, "breaker_opened", failures=self._failures)

    # The probe -----------------------------------------------------------------------------------

    def suspect(self) -> None:
        """Start the probe in its thread, unless it runs already. Without a probe do nothing."""
        if self._probe is None:
            return
        with self._lock:
            self._is_suspected = True
            if self._probe_thread is None:
                self._probe_thread = threading.Thread(
                    target=self._probe_until_answered, name=f"probe {self.name}", daemon=True
                )
                self._probe_thread.start()

    def _probe_until_answered(self) -> None:
        while True:
            self._is_suspected = False
            next_at = monotonic() + self._every
            if not self._responds():
                self._record_no_response()
                self._wait(max(0.0, next_at - monotonic()))
                continue
            self._record_response()
            with self._lock:
                if not self._is_suspected:
                    self._probe_thread = None
                    return
            # Another call was slow during the probe: ask again after the usual interval.
            sleep(max(0.0, next_at - monotonic()))

    def _responds(self) -> bool:
        assert self._probe is not None
        try:
            return self._probe()
        except Exception:
            log.exception("probe_failed", extra={"breaker": self.name})
            return False

    def _record_no_response(self) -> None:
        with self._lock:
            was_open = self._opened_at is not None
            self._opened_at, self._trial_since = self._clock(), None
            self._is_away = True
        if not was_open:
            self._report("open", logging.ERROR, "breaker_opened", reason="no response")

    def _record_response(self) -> None:
        """Close the breaker, unless it is open because the server returns errors."""
        with self._lock:
            was_away = self._is_away
            was_open = was_away and self._close()
            if was_away:
                self._returned_at = self._clock()
        if was_open:
            self._report_closed()
        if was_away:
            self._run_callbacks()

    def _run_callbacks(self) -> None:
        for callback in self.on_recovery:
            try:
                callback()
            except Exception:
                log.exception("recovery_callback_failed", extra={"breaker": self.name})

    def _close(self) -> bool:
        """Close the breaker and return whether it was open. The caller holds the lock."""
        was_open = self._opened_at is not None
        self._failures, self._opened_at, self._trial_since = 0, None, None
        self._is_away = False
        return was_open

    def _report_closed(self) -> None:
        self._report("closed", logging.WARNING, "breaker_closed")
