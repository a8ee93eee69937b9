from django.apps import AppConfig


class SnapConfig(AppConfig):
    name = "snap"

    def ready(self) -> None:
        from snap import checks  # noqa: F401  (registers the system checks)
