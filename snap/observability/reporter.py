"""Sends reports of errors by Sentry's package. Imported only by `error_reports.start`.

None of Sentry's integrations is used: they would add to each request and query what this module
then has to remove.
"""

import logging
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing import util
from types import TracebackType
from typing import Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.logging import EventHandler
from sentry_sdk.transport import HttpTransport

from snap.local_cache import LocalCache
from snap.observability.report_events import reduced_event
from snap.resilience.http_sessions import POOLS

log = logging.getLogger(__name__)

# Seconds that a receiver has for one report, and that a process which ends waits for all of them.
SEND_SECONDS = 5
STOP_SECONDS = 2.0
# A process reports the same error once in so many seconds.
REPEAT_SECONDS = 60.0
# Errors that differ, of which a process knows that it has reported them.
MAX_KNOWN = 500

Excepthook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


class ReportTransport(HttpTransport):
    """Sends reports in a thread of its own. Logs a failure once, until it is over."""

    TIMEOUT = SEND_SECONDS

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._pool.pool_classes_by_scheme = POOLS
        self.is_failing = False

    def _request(self, *arguments: Any, **options: Any) -> Any:
        response = super()._request(*arguments, **options)
        if self.is_failing and response.status < 300:
            self.is_failing = False
            log.info("reports_sent_again")
        return response

    def on_dropped_event(self, reason: str) -> None:
        if not self.is_failing:
            self.is_failing = True
            log.warning("reports_not_sent", extra={"reason": reason})


class ReportHandler(EventHandler):
    """Reports log records of level ERROR, each place in the code once in REPEAT_SECONDS."""

    def __init__(self, throttle: "Throttle") -> None:
        super().__init__(logging.ERROR)
        self.addFilter(is_fault)
        self.addFilter(throttle.admits_record)


class Throttle:
    """Admits the same error once in REPEAT_SECONDS: in an outage each request has it."""

    def __init__(self) -> None:
        self._known: LocalCache[object, None] = LocalCache(
            size=MAX_KNOWN, seconds=lambda: REPEAT_SECONDS
        )

    def admits_record(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            return self.admits(error)
        return self._known.add((record.name, record.msg), None)

    def admits(self, error: BaseException) -> bool:
        return self._known.add(place_of(error), None)


def place_of(error: BaseException) -> object:
    """Return what is equal for errors of the same kind from the same line."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return type(error)
    return type(error), innermost.tb_frame.f_code, innermost.tb_lineno


def is_fault(record: logging.LogRecord) -> bool:
    """Return whether a record is about a fault of SNAP.

    A client causes what Django logs for `django.security`, and each refusal with a 5xx was meant
    so: only exceptions are faults.
    """
    if record.name.startswith("django.security"):
        return False
    return record.name != "django.request" or bool(record.exc_info)


class Reporter:
    """Reports the errors of one process, and of its children after a fork."""

    def __init__(self) -> None:
        sentry_sdk.init(
            dsn=settings.SENTRY_DSN,
            environment=settings.SENTRY_ENVIRONMENT,
            release=settings.SENTRY_RELEASE,
            server_name=socket.gethostname(),
            transport=ReportTransport,
            before_send=reduced_event,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            send_client_reports=False,
            propagate_traces=False,
            shutdown_timeout=STOP_SECONDS,
            spotlight=False,
        )
        self._throttle = Throttle()
        self._handler = ReportHandler(self._throttle)
        logging.getLogger().addHandler(self._handler)
        self._hooks = (sys.excepthook, threading.excepthook)
        sys.excepthook = self._report_uncaught
        threading.excepthook = self._report_uncaught_in_thread
        # The workers of granian end without `atexit`.
        util.Finalize(None, self.stop, exitpriority=1)

    def report(self, error: BaseException) -> None:
        if self._throttle.admits(error):
            sentry_sdk.capture_exception(error)

    def stop(self) -> None:
        logging.getLogger().removeHandler(self._handler)
        sys.excepthook, threading.excepthook = self._hooks
        sentry_sdk.get_client().close(timeout=STOP_SECONDS)

    def _report_uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            self.report(error)
        self._hooks[0](kind, error, trace)

    def _report_uncaught_in_thread(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
            self.report(arguments.exc_value)
        self._hooks[1](arguments)
