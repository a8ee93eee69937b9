"""What is ours to mend: a provider refuses every email because of our key, sender or domain.

The provider stops, and gets one email every MENDING_PAUSE seconds as a trial. It resumes by itself
when a trial succeeds. No email uses up an attempt.
"""

import logging
from contextlib import suppress
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

# Mailboxes that refuse our domain may say so later, in reports to a web process. So many in a row,
# without a delivery between, stop the provider. A single one does not: an address that forwards its
# emails breaks their authentication.
REFUSALS_IN_A_ROW = 5
REFUSALS_KEY = "mail-provider-refusals:{}"
# Seconds for which such reports keep a provider stopped, and between two looks for them.
REPORTED_SECONDS = 600
LOOK_SECONDS = 5.0
REPORTED_KEY = "mail-provider-refused-us:{}"

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
        self._next_look_at = 0.0
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
        self._look_for_reports()
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

    def _look_for_reports(self) -> None:
        """Stop if reports say that mailboxes refuse our domain. One round trip in LOOK_SECONDS."""
        now = monotonic()
        if self._failed_at is None and now >= self._next_look_at:
            self._next_look_at = now + LOOK_SECONDS
            if code := cache.get(REPORTED_KEY.format(self.name)):
                self.failed(code)

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


def note_refusals(name: str, code: str, number: int) -> None:
    """Note that mailboxes refused emails because of our domain, as a provider has reported.

    Nothing is noted while the cache is away.
    """
    key = REFUSALS_KEY.format(name)
    cache.set(NOTICE_KEY.format(name), code, NOTICE_SECONDS)
    cache.add(key, 0, REPORTED_SECONDS)
    with suppress(ValueError):
        # Without Redis there is no number.
        in_a_row = cache.incr(key, number) or 0
        if in_a_row >= REFUSALS_IN_A_ROW:
            cache.set(REPORTED_KEY.format(name), code, REPORTED_SECONDS)


def note_delivery(name: str) -> None:
    """Note that a mailbox took an email of ours, so our domain is in order.

    A provider that reports have stopped resumes with its next trial: anybody can have a few mail
    servers refuse our domain.
    """
    cache.delete_many([REFUSALS_KEY.format(name), REPORTED_KEY.format(name)])


def mending_notices(names: list[str]) -> dict[str, str]:
    """Return the codes of the providers that wait for an operator, by name.

    They are those of all processes. One round trip to the cache; none are returned while it is
    away.
    """
    keys = {NOTICE_KEY.format(name): name for name in names}
    return {keys[key]: code for key, code in (cache.get_many(keys) or {}).items()}
