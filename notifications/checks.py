"""System checks of mail providers. The settings themselves refuse what cannot work at all."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

APIS = ("resend", "sendgrid", "mailgun")


@register("emails")
def check_providers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of settings with which emails are lost without a sign."""
    found: list[CheckMessage] = []
    used = [settings.EMAIL_PROVIDER, settings.EMAIL_FALLBACK_PROVIDER]
    apis = [name for name in used if name in APIS]
    if apis and not settings.MAIL_WEBHOOK_SECRET:
        found.append(
            Warning(
                f"No report of {' and '.join(apis)} is received: bounces stay unknown.",
                hint="Set MAIL_WEBHOOK_SECRET, and have reports sent to /webhooks/mail/.",
                id="notifications.W001",
            )
        )
    if settings.EMAIL_FALLBACK_PROVIDER == "console":
        found.append(
            Warning(
                "The fallback console keeps emails on this machine, and nobody receives them.",
                hint="Set EMAIL_FALLBACK_PROVIDER to another provider, or to nothing.",
                id="notifications.W002",
            )
        )
    return found
