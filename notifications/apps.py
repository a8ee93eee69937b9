from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from notifications import checks  # noqa: F401 (registers them)
from notifications.kinds import known_kinds
from snap.environment.errors import SettingError


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("notifications")

    def ready(self) -> None:
        """Refuse senders of emails that nobody sends. The apps above have registered all kinds."""
        unknown = settings.EMAIL_SENDERS.keys() - set(known_kinds())
        if unknown:
            raise SettingError(
                f"EMAIL_SENDERS names kinds of email that do not exist; there are"
                f" {', '.join(known_kinds())}."
            )
