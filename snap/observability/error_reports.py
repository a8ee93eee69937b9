"""Reports of errors, to Sentry or a server that speaks its protocol.

What is logged at level ERROR is reported, and each exception that ends a thread or a command. An
error that code catches and survives is reported by `report_error`. Sentry's package is imported
only while SENTRY_DSN is set.
"""

from typing import TYPE_CHECKING

from django.conf import settings

from snap.local_cache import on_reset

if TYPE_CHECKING:
    from snap.observability.reporter import Reporter


class _Process:
    """The state of this process."""

    reporter: "Reporter | None" = None


def start() -> None:
    """Report the errors of this process and its children, if the settings say so."""
    if not settings.SENTRY_DSN or _Process.reporter is not None:
        return
    from snap.observability.reporter import Reporter

    _Process.reporter = Reporter()


def report_error(error: BaseException) -> None:
    """Report an exception that the caller has dealt with. Takes under 1 µs without SENTRY_DSN."""
    if _Process.reporter is not None:
        _Process.reporter.report(error)


def stop() -> None:
    """Send what waits, for some seconds at most, and report no more."""
    reporter = _Process.reporter
    if reporter is not None:
        _Process.reporter = None
        reporter.stop()


on_reset(stop)
