"""What is ours to mend: a provider refuses every email because of our key, sender or domain.

The provider stops, and gets one email every MENDING_PAUSE seconds as a trial. It resumes by itself
when a trial succeeds. No email uses up an attempt.
"""

import logging
from threading import Lock
from time import monotonic

from django.core.cache import cache
from prometheus_client import Gauge

from snap.resilience.breaker import report_lock

log = logging.getLogger(__name__)

MENDING_PAUSE = 60.0  # seconds between two trials
# Seconds for which admin shows a refusal after the last one.
NOTICE_SECONDS = 300
NOTICE_KEY = "mail-provider-needs-mending:{}"

needs_mending = Gauge(
    "mail_provider_needs_mending",
    "1 while a mail provider refuses our key, sender or domain",
    ["provider"],
    multiprocess_mode="livemax",
)


class Mending:
    """Whether a provider waits for an operator. Safe between threads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = Lock()
        self._failed_at: float | None = None
        self._next_trial_at = 0.0
        self._show(0)

    @property
    def is_needed(self) -> bool:
        return self._failed_at is not None

    def clear(self) -> None:
        """Begin again, as after a start of the process."""
        if self._failed_at is not None:
            self._end()

    def allows(self) -> bool:
        """Return whether an email may be handed over: while stopped, one at a time as a trial."""
        if self._failed_at is None:
            return True
        with self._lock:
            now = monotonic()
            if now < self._next_trial_at:
                return False
            self._next_trial_at = now + MENDING_PAUSE
            return True

    def failed(self, code: str) -> None:
        """Stop. `code` is the provider's, such as `550 5.7.26` or `403`."""
        with self._lock:
            is_new = self._failed_at is None
            self._failed_at = monotonic()
            self._next_trial_at = self._failed_at + MENDING_PAUSE
        self._show(1)
        cache.set(NOTICE_KEY.format(self.name), code, NOTICE_SECONDS)
        if is_new:
            log.error("mail_provider_needs_mending", extra={"provider": self.name, "code": code})

    def succeeded(self, began: float) -> None:
        """End the stop, if the email that succeeded was begun after the last refusal."""
        if self._failed_at is not None and began > self._failed_at:
            self._end()
            cache.delete(NOTICE_KEY.format(self.name))
            log.warning("mail_provider_mended", extra={"provider": self.name})

    def _end(self) -> None:
        self._failed_at = None
        self._show(0)

    def _show(self, value: int) -> None:
        with report_lock:
            needs_mending.labels(self.name).set(value)


def mending_notices(names: list[str]) -> dict[str, str]:
    """Return the codes of the providers that wait for an operator, by name.

    They are those of all processes. One round trip to the cache; none are returned while it is
    away.
    """
    keys = {NOTICE_KEY.format(name): name for name in names}
    return {keys[key]: code for key, code in (cache.get_many(keys) or {}).items()}
