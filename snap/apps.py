from django.apps import AppConfig

from snap import celery  # noqa: F401  (every process sends its messages by this application)


class SnapConfig(AppConfig):
    name = "snap"

    def ready(self) -> None:
        from snap import checks  # noqa: F401  (registers the system checks)
