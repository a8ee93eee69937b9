"""Makes this process send its emails to the servers that play providers."""

from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings

from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.mail_providers.mailgun import Mailgun
from tests.helpers.mail_providers.resend import Resend
from tests.helpers.mail_providers.sendgrid import SendGrid
from tests.helpers.mail_providers.smtp_server import MailServer

Transport = HTTPProvider | MailServer

# Starts providers by name, the first one and the fallback.
Choose = Callable[..., list[Transport]]

PROVIDERS: dict[str, Callable[[], Transport]] = {
    "resend": Resend,
    "sendgrid": SendGrid,
    "mailgun": Mailgun,
    "smtp": MailServer,
}


def send_with(settings: Any, first: Transport) -> None:
    """Use a server as EMAIL_PROVIDER."""
    given = first.settings()
    settings.EMAIL_PROVIDER = first.name
    settings.EMAIL_BACKEND = django_settings.EMAIL_BACKENDS[first.name]
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", first.port
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER = False, ""
    settings.EMAIL_TIMEOUT = 0.5
    settings.ANYMAIL = {**settings.ANYMAIL, **given, "REQUESTS_TIMEOUT": 0.5}
