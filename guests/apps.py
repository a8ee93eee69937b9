"""The app of guest lists: it registers its emails and its checks of /readyz."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from snap.observability.health import journal_checks, worker_checks


class GuestsConfig(AppConfig):
    name = "guests"
    verbose_name = _("guest lists")

    def ready(self) -> None:
        # These register system checks, the kinds of email that guest lists send, and what they are
        # about.
        from guests import (  # noqa: F401
            checks,
            email_causes,
            email_samples,
            emails,
            list_message_emails,
        )
        from guests.emergency.journal import get_journal
        from guests.news import causes  # noqa: F401
        from guests.requests.worker_health import workers_are_working

        worker_checks.append(workers_are_working)
        journal_checks.append(lambda: get_journal().is_writable())
