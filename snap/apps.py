from django.apps import AppConfig

from snap import celery  # noqa: F401  (every process sends its messages by this application)
from snap.observability import metric_files  # noqa: F401  (before any app makes a metric)


class SnapConfig(AppConfig):
    name = "snap"

    def ready(self) -> None:
        from snap import checks  # noqa: F401  (registers the system checks)
