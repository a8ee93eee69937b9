"""The Celery application: what wakes the workers up. The records are in PostgreSQL."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")

app = Celery("snap")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
