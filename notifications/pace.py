"""The pace of the emails to one provider: EMAIL_PER_SECOND, and pauses that it asks for."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

# Seconds of the first pause if the provider names none. Each further one is twice as long.
FIRST_PAUSE = 1.0
MAX_PAUSE = 60.0


class Pace:
    """Spaces the emails of all threads of a process. Safe between threads."""

    def __init__(self, per_second: Callable[[], float]) -> None:
        self._per_second = per_second
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all pauses."""
        self._next_at = 0.0
        self._paused_until = 0.0
        self._last_pause = 0.0

    def reserve(self, *, is_urgent: bool) -> float:
        """Reserve the moment of one email. Return the seconds until then, 0 for an urgent one.

        An urgent email counts, and the others wait for longer.
        """
        rate = self._per_second()
        if not rate:
            return 0.0
        with self._lock:
            now = monotonic()
            moment = max(now, self._next_at)
            self._next_at = moment + 1 / rate
        if is_urgent:
            return 0.0
        return moment - now

    def backlog(self) -> float:
        """Return the seconds for which an email that is reserved now would wait."""
        return max(0.0, self._next_at - monotonic())

    def limited(self, retry_after: float | None) -> float:
        """Pause: the provider accepts no more for now. Return for how many seconds.

        Requests that were under way at the same time make one pause.
        """
        with self._lock:
            now = monotonic()
            if now < self._paused_until and not retry_after:
                return self._paused_until - now
            pause = retry_after or max(FIRST_PAUSE, self._last_pause * 2)
            self._last_pause = min(pause, MAX_PAUSE)
            self._paused_until = max(self._paused_until, now + self._last_pause)
            return self._paused_until - now

    def accepted(self) -> None:
        """Record that the provider accepted an email."""
        if self._last_pause and monotonic() >= self._paused_until:
            self._last_pause = 0.0

    def pause_left(self) -> float:
        """Return the seconds until the provider accepts emails again."""
        return max(0.0, self._paused_until - monotonic())

    def allows(self) -> bool:
        return monotonic() >= self._paused_until
