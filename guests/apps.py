from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from snap.health import journal_checks


class GuestsConfig(AppConfig):
    name = "guests"
    verbose_name = _("guest lists")

    def ready(self) -> None:
        from . import emails  # noqa: F401  (registers the kinds of email that guest lists send)
        from .journal import the_journal

        journal_checks.append(lambda: the_journal().is_writable())
