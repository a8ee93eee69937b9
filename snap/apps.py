from django.apps import AppConfig

from snap import celery  # noqa: F401  (every process sends its messages by this application)


class SnapConfig(AppConfig):
    name = "snap"

    def ready(self) -> None:
        # These register the system checks.
        from snap import checks  # noqa: F401
        from snap.setup import addresses, clock, files, observability, postgresql, redis  # noqa: F401
