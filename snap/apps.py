import atexit
import gc

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from snap import celery  # noqa: F401  (every process sends its messages by this application)
from snap.observability import error_reports


class SnapConfig(AppConfig):
    name = "snap"
    verbose_name = _("operations")
    default = True

    def ready(self) -> None:
        error_reports.start()
        # Python looks through all objects at its end, which takes 0.3 s of CPU. `emails` and its
        # low priority would need 20 s for that on a busy machine.
        atexit.register(gc.freeze)
        # These register the system checks.
        from snap import (
            checks,  # noqa: F401
            switch_admin,  # noqa: F401  (registers the page of switches)
        )
        from snap.control.rows import add_missing_rows
        from snap.monitor import admin  # noqa: F401  (registers the pages of modes)

        # These register metrics that no other module imports in each process.
        from snap.observability import pool_metrics, socket_metrics  # noqa: F401
        from snap.setup import addresses, clock, files, observability, postgresql, redis  # noqa: F401

        # The signal comes after all apps have migrated.
        post_migrate.connect(add_missing_rows, sender=self)
