"""The Celery application: what wakes the workers up. The records are in PostgreSQL."""

import os

from celery import Celery
from celery.signals import task_postrun, task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")

app = Celery("snap")
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
