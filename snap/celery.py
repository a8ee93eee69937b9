"""The Celery application: what wakes the workers up. The records are in PostgreSQL."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")

app = Celery("snap")
# For every thread: each of them would otherwise find an application without our settings.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
