"""Makes this process send its emails to the servers that play providers."""

from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings

from notifications import providers
from snap.local_cache import reset_process_state
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.mail_providers.mailgun import Mailgun
from tests.helpers.mail_providers.resend import Resend
from tests.helpers.mail_providers.sendgrid import SendGrid
from tests.helpers.mail_providers.smtp_server import MailServer

Transport = HTTPProvider | MailServer

TIMEOUT = 5.0  # seconds
TIMEOUT_OF_A_HANG = 0.2  # seconds, for faults that end by a timeout
# Starts providers by name, the first one and the fallback.
Choose = Callable[..., list[Transport]]

PROVIDERS: dict[str, Callable[[], Transport]] = {
    "resend": Resend,
    "sendgrid": SendGrid,
    "mailgun": Mailgun,
    "smtp": MailServer,
}


def environment(first: Transport, second: Transport | None = None) -> dict[str, str]:
    """Return the environment variables of processes that send with one or two servers."""
    names = {"EMAIL_PROVIDER": first.name}
    if second is None:
        return names | first.settings()
    names["EMAIL_FALLBACK_PROVIDER"] = second.name
    return names | first.settings() | second.settings()


def send_with(settings: Any, first: Transport, second: Transport | None = None) -> None:
    """Make this process send with one or two servers."""
    given = environment(first, second)
    settings.EMAIL_PROVIDER = first.name
    settings.EMAIL_BACKEND = django_settings.EMAIL_BACKENDS[first.name]
    settings.EMAIL_FALLBACK_PROVIDER = second.name if second else ""
    settings.EMAIL_FALLBACK_BACKEND = django_settings.EMAIL_BACKENDS[second.name] if second else ""
    settings.EMAIL_HOST = given.pop("EMAIL_HOST", "127.0.0.1")
    settings.EMAIL_PORT = int(given.pop("EMAIL_PORT", "25"))
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER = False, ""
    settings.ANYMAIL = {**settings.ANYMAIL, **given}
    set_timeout(settings)


def set_timeout(settings: Any, *, hangs: bool = False) -> None:
    """Set how long this process waits for a provider: briefly for one that hangs."""
    seconds = TIMEOUT_OF_A_HANG if hangs else TIMEOUT
    settings.EMAIL_TIMEOUT = settings.EMAIL_RESPONSE_TIMEOUT = seconds
    settings.ANYMAIL = {**settings.ANYMAIL, "REQUESTS_TIMEOUT": seconds}


def forget_failures() -> None:
    """Make this process one that has seen no failure: with new breakers, and no probe of them."""
    reset_process_state()
    # A probe that runs now may still open the breaker that it was started for.
    providers._made.clear()
