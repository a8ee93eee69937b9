"""The Celery application: what wakes the workers up. The records are in PostgreSQL."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import task_postrun, task_prerun, worker_ready
from django.db import close_old_connections
from kombu import Connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")


class PatientConnection(Connection):
    """Tries a broker that is away once a second, and survives its going away.

    kombu's pause grows up to 30 seconds, and for that long no worker would work once the broker is
    back. A worker that had tasks in hand when the broker went away would end: kombu gives their
    messages back, and acknowledges them later, by the address of a connection that it has closed.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        every_second = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
        return super().ensure_connection(*args, **(every_second | options))

    def _do_close_transport(self) -> None:
        # kombu also takes the transport its `client`, from which its channels know the address.
        self._transport = None


class PatientAMQP(AMQP):
    Connection = PatientConnection


app = Celery("snap", amqp=PatientAMQP)
# For every thread: each of them would otherwise find an application without our settings.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


# Around each task a connection goes back to its process's pool, as after a request. Celery itself
# would end the whole pool (CELERY_DB_REUSE_MAX): every task then pays for a new connection, which
# costs it and PostgreSQL more than the task does.
@task_prerun.connect
@task_postrun.connect
def give_connections_back(**_signal: object) -> None:
    close_old_connections()


@worker_ready.connect
def apply_nice_to_autogroup(**_signal: object) -> None:
    """Have what `nice` says count beside other sessions too.

    Linux shares the processor between sessions first (sched(7), autogroup), and each line of the
    Procfile is one: `nice` alone would only rank a worker's own children. Not from a terminal,
    whose session is everything in it.
    """
    niceness = os.nice(0)
    if niceness > 0 and os.getpgrp() == os.getsid(0):
        with suppress(OSError):  # There are other kernels.
            Path("/proc/self/autogroup").write_text(str(niceness))
