"""Circuit breakers: a server that does not answer is left alone until it answers again.

The kept libraries either hold one lock for the length of a call, which makes threads wait for one
another, or keep their state in Redis, which may be what failed. A breaker here is of one process.
"""

import logging
import os
import threading
from collections.abc import Callable
from time import monotonic, sleep

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

PROBE_EVERY = 1.0  # seconds from the start of one probe to the start of the next

# Says whether the server answers. It has timeouts of its own, of about two seconds.
Probe = Callable[[], bool]


class Breaker:
    """Keeps callers away from a server that is away. It has two ways to open.

    `suspect` is for calls that were slow or cut off, which is no proof: a probe asks the server at
    once, in a thread. If it gets no answer the breaker opens, and the probe asks every `every`
    seconds, or sooner if `wait` returns sooner, until the server answers. Then the breaker closes,
    and the thread ends.

    `failed` is for a server that answers, with errors. `threshold` failures without a success
    between them open the breaker for `pause` seconds. Calls that failed at the same time count as
    one failure. Then the breaker is half-open: one call is a trial. Its success closes the breaker,
    its failure opens it for another pause.

    A probe that itself hangs for `pause` seconds makes the breaker half-open, too. A breaker is
    safe with threads and forks, and no caller waits for another.
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
        # Called in the probe's thread when the server is back.
        self.on_return: list[Callable[[], None]] = []
        self._probe = probe
        self._every = every
        self._wait = wait
        self._clock = clock
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        state_gauge.labels(name).set(0)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = float("-inf")
        self._opened_at: float | None = None
        self._trial_since: float | None = None
        # The probe found the server away, and has not found it back.
        self._is_away = False
        self._prober: threading.Thread | None = None
        self._is_suspected = False
        self._returned_at = float("-inf")

    def returned_within(self, seconds: float) -> bool:
        """Say whether the probe found the server back in the last so many seconds."""
        return self._clock() < self._returned_at + seconds

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half_open`: the pause is over and a trial decides."""
        opened_at = self._opened_at
        if opened_at is None:
            return "closed"
        return "open" if self._clock() < opened_at + self.pause else "half_open"

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
            was_open = self._close()
        if was_open:
            self._note_closed()

    def failed(self, began: float | None = None) -> None:
        """Record a call that the server answered with an error of its own.

        A call that began (by the breaker's clock) before the last failure was recorded does not
        count: both failed of the same cause.
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
            state_gauge.labels(self.name).set(LEVELS["open"])
            log.error("breaker_opened", extra={"breaker": self.name, "failures": self._failures})

    # The probe -----------------------------------------------------------------------------------

    def suspect(self) -> None:
        """Have the probe ask the server now. Costs the caller nothing; without a probe a no-op."""
        if self._probe is None:
            return
        with self._lock:
            self._is_suspected = True
            if self._prober is None:
                self._prober = threading.Thread(
                    target=self._probe_until_answered, name=f"probe {self.name}", daemon=True
                )
                self._prober.start()

    def _probe_until_answered(self) -> None:
        while True:
            self._is_suspected = False
            next_at = monotonic() + self._every
            if not self._answers():
                self._found_away()
                self._wait(max(0.0, next_at - monotonic()))
                continue
            self._found_there()
            with self._lock:
                if not self._is_suspected:
                    self._prober = None
                    return
            # Somebody else was slow since it was asked: once more, but not all the time.
            sleep(max(0.0, next_at - monotonic()))

    def _answers(self) -> bool:
        assert self._probe is not None
        try:
            return self._probe()
        except Exception:
            log.exception("probe_failed", extra={"breaker": self.name})
            return False

    def _found_away(self) -> None:
        with self._lock:
            was_open = self._opened_at is not None
            self._opened_at, self._trial_since = self._clock(), None
            self._is_away = True
        if not was_open:
            state_gauge.labels(self.name).set(LEVELS["open"])
            log.error("breaker_opened", extra={"breaker": self.name, "reason": "no answer"})

    def _found_there(self) -> None:
        """Close the breaker, unless it is open because the server answers with errors."""
        with self._lock:
            was_away = self._is_away
            was_open = was_away and self._close()
            if was_away:
                self._returned_at = self._clock()
        if was_open:
            self._note_closed()
        if was_away:
            for call in self.on_return:
                try:
                    call()
                except Exception:
                    log.exception("on_return_failed", extra={"breaker": self.name})

    def _close(self) -> bool:
        """Close it, under the lock, and say whether it was open."""
        was_open = self._opened_at is not None
        self._failures, self._opened_at, self._trial_since = 0, None, None
        self._is_away = False
        return was_open

    def _note_closed(self) -> None:
        state_gauge.labels(self.name).set(LEVELS["closed"])
        log.warning("breaker_closed", extra={"breaker": self.name})
