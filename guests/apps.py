from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from snap.health import journal_checks, worker_checks


class GuestsConfig(AppConfig):
    name = "guests"
    verbose_name = _("guest lists")

    def ready(self) -> None:
        from . import emails  # noqa: F401  (registers the kinds of email that guest lists send)
        from .journal import the_journal
        from .takeup import workers_take_up

        worker_checks.append(workers_take_up)
        journal_checks.append(lambda: the_journal().is_writable())
