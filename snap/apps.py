from django.apps import AppConfig

from snap import celery  # noqa: F401  (every process sends its messages by this application)
from snap.observability import error_reports


class SnapConfig(AppConfig):
    name = "snap"

    def ready(self) -> None:
        error_reports.start()
        # These register the system checks.
        from snap import checks  # noqa: F401
        from snap.setup import addresses, clock, files, observability, postgresql, redis  # noqa: F401
