"""The Celery application. Its tasks only wake workers; the work itself is rows in PostgreSQL.

There is no Celery beat. A periodic job is a sweep of the sweeper (guests/sweeps.py).
"""

import importlib
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.app.amqp import AMQP
from celery.concurrency import prefork
from celery.signals import (
    celeryd_init,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
)
from django.conf import settings
from django.db import close_old_connections
from kombu import Connection
from redis.exceptions import ResponseError

from snap.control import snapshot
from snap.observability import error_reports, tracing
from snap.observability.context import begin
from snap.observability.logs import LineHandler
from snap.resilience.workers import HEARTBEAT_INTERVAL, record_heartbeat

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")


class ReconnectingConnection(Connection):
    """Retries a broker that is away once a second, and keeps the worker alive during an outage.

    kombu's own interval grows to 30 seconds, in which workers would be idle after the broker is
    back. A worker with running tasks would end: kombu first returns their messages, later
    acknowledges them, and then needs the address of a connection that it has closed.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        every_second = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
        return super().ensure_connection(*args, **(every_second | options))

    @property
    def connection_errors(self) -> tuple[type[BaseException], ...]:
        # A broker that refuses to write, because its disk or memory is full or it has become a
        # replica, is as good as away. The worker would end otherwise.
        return (*super().connection_errors, ResponseError)

    def _do_close_transport(self) -> None:
        # kombu's method also sets the transport's `client` to None. Channels read the address from
        # that when they acknowledge a message later.
        self._transport = None


class ReconnectingAMQP(AMQP):
    Connection = ReconnectingConnection


class SnapCelery(Celery):
    """Connects to the broker that the settings name, and to no other.

    Celery would prefer what it finds in the environment: CELERY_BROKER_URL, or BROKER_URL as it was
    written, which is an address of another form for a Unix socket.
    """

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_read(url or settings.CELERY_BROKER_URL, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_write(url or settings.CELERY_BROKER_URL, **options)


app = SnapCelery("snap", amqp=ReconnectingAMQP)
# Makes it the application of every thread, not only of the thread that imports this module.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect
@task_postrun.connect
def clear_log_context(**_signal: object) -> None:
    """Begin each task without the ids of an earlier one."""
    begin()


@task_prerun.connect
@task_postrun.connect
def return_database_connections(**_signal: object) -> None:
    """Return database connections to the pool of the process, as Django does around a request.

    Celery itself would close the whole pool (CELERY_DB_REUSE_MAX). Each task would then open a new
    connection, which costs the worker and PostgreSQL more than the task.
    """
    close_old_connections()


class Heartbeat(bootsteps.StartStopStep):
    """Notes in the broker which queues this worker consumes, for /readyz.

    Celery's own heartbeat is switched off in the Procfile. Without a broker it publishes again and
    again for ever, and the worker then ignores SIGTERM.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    timer: Any = None

    def start(self, parent: Any) -> None:
        self.timer = parent.timer.call_repeatedly(HEARTBEAT_INTERVAL, note_heartbeat)
        note_heartbeat()

    def stop(self, parent: Any) -> None:
        if self.timer is not None:
            self.timer.cancel()


def note_heartbeat() -> None:
    record_heartbeat(app.amqp.queues.consume_from)


app.steps["consumer"].add(Heartbeat)


@worker_ready.connect
def apply_nice_to_autogroup(**_signal: object) -> None:
    """Apply the worker's niceness to its whole session.

    Linux divides CPU time between sessions first (sched(7), autogroup). Each line of the Procfile
    is a session, so `nice` alone would only affect the order of a worker's own children. A worker
    in a terminal shares its session with other processes and is left alone.
    """
    niceness = os.nice(0)
    if niceness > 0 and os.getpgrp() == os.getsid(0):
        with suppress(OSError):  # The kernel has no autogroups.
            Path("/proc/self/autogroup").write_text(str(niceness))


def worker_program() -> Any:
    """Return Celery's module of workers. Other processes do not import it: it takes 2 MB."""
    return importlib.import_module("celery.apps.worker")


@celeryd_init.connect
def say_in_lines(**_signal: object) -> None:
    """Have Celery's words at its end be lines of the log. It writes them past logging."""
    program = worker_program()
    program.safe_say = write_line


def write_line(text: str, _stream: object = None) -> None:
    """Write a line of the log without any lock: signal handlers call this."""
    fields = {"name": "celery.apps.worker", "levelname": "INFO", "msg": text.strip()}
    record = logging.makeLogRecord(fields)
    for handler in logging.getLogger().handlers:
        # Reports of errors have a handler, too.
        if isinstance(handler, LineHandler):
            os.write(2, f"{handler.format(record)}\n".encode())


@worker_process_init.connect
@worker_ready.connect
def start_threads(sender: Any = None, **_signal: object) -> None:
    """Record traces, and follow the switches and modes, in each process that runs tasks.

    The parent of prefork runs none. It forks for as long as it lives, and has no thread whose locks
    a child could inherit.
    """
    if not isinstance(getattr(sender, "pool", None), prefork.TaskPool):
        tracing.start(runs_tasks=True)
        snapshot.start()


@celeryd_init.connect
def import_tracing(**_signal: object) -> None:
    """Import what traces need before the fork: the children then share its memory."""
    tracing.prepare()


@worker_process_shutdown.connect
def send_the_last(**_signal: object) -> None:
    """Send what a child has recorded. It ends without `atexit`, also when it is recycled."""
    tracing.stop()
    error_reports.stop()


@celeryd_init.connect
def guard_sigterm(**_signal: object) -> None:
    """Have the worker handle one SIGTERM at a time.

    Celery's handler takes a lock that is not reentrant. A second SIGTERM at that moment waits for
    itself, and the worker never ends.
    """
    program = worker_program()
    install = program.install_worker_term_handler

    def install_guarded(worker: Any) -> None:
        install(worker)
        handler: Any = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, one_at_a_time(handler))

    program.install_worker_term_handler = install_guarded


def one_at_a_time(handler: Callable[..., None]) -> Callable[..., None]:
    """Return a handler that ignores a signal that comes while it handles another one."""
    is_handling = False

    def handle(*args: object) -> None:
        nonlocal is_handling
        if is_handling:
            return
        is_handling = True
        try:
            handler(*args)
        finally:
            is_handling = False

    return handle
