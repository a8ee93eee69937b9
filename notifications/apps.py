from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from notifications import checks  # noqa: F401 (registers them)
from notifications.kinds import known_kinds
from snap.environment.errors import SettingError
from snap.mail_addresses import ascii_address


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("notifications")

    def ready(self) -> None:
        """Refuse senders that cannot be used. The apps above have registered all kinds."""
        from notifications import sign_ins  # noqa: F401 (registers checks)

        unknown = settings.EMAIL_SENDERS.keys() - set(known_kinds())
        if unknown:
            raise SettingError(
                f"EMAIL_SENDERS names kinds of email that do not exist; there are"
                f" {', '.join(known_kinds())}."
            )
        for name in ("DEFAULT_FROM_EMAIL", "EMAIL_REPLY_TO", "EMAIL_UNSUBSCRIBE_ADDRESS"):
            _require_sender(name, getattr(settings, name))
        for sender in settings.EMAIL_SENDERS.values():
            _require_sender("EMAIL_SENDERS", sender)


def _require_sender(name: str, sender: str) -> None:
    """Raise SettingError for an address whose domain has no form in ASCII."""
    try:
        ascii_address(sender)
    except UnicodeError:
        raise SettingError(f"{name} has a domain that cannot be encoded: {sender}.") from None
