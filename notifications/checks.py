"""System checks of mail providers. The settings themselves refuse what cannot work at all."""

from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register

from snap.environment.emails import PLACEHOLDER
from snap.setup import SETUP

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
    if settings.HTTPS:
        found += _check_console()
    if settings.EMAIL_FALLBACK_PROVIDER == "console":
        found.append(
            Warning(
                "The fallback console keeps emails on this machine, and nobody receives them.",
                hint="Set EMAIL_FALLBACK_PROVIDER to another provider, or to nothing.",
                id="notifications.W002",
            )
        )
    if settings.EMAIL_PROVIDER == "smtp":
        found += _check_server("EMAIL")
    if settings.EMAIL_FALLBACK_PROVIDER == "smtp":
        found += _check_server("EMAIL_FALLBACK")
    return found


def _check_console() -> list[CheckMessage]:
    if settings.EMAIL_PROVIDER != "console":
        return []
    return [
        Warning(
            "The provider console keeps emails on this machine, and nobody receives them.",
            hint="Set EMAIL_PROVIDER to resend, sendgrid, mailgun or smtp.",
            id="notifications.W003",
        )
    ]


@register(SETUP, deploy=True)
def check_emails_of_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report what lets emails fail in production. Some of it is usual in development."""
    found: list[CheckMessage] = []
    if not settings.HTTPS:  # Else the usual checks say it.
        found += _check_console()
    domains = sorted({_domain_of(sender) for sender in _senders()})
    for domain in domains:
        if PLACEHOLDER.fullmatch(domain):
            found.append(
                Error(
                    f"Emails come from {domain}, which is no domain of yours: they are refused.",
                    hint="Set DEFAULT_FROM_EMAIL and EMAIL_SENDERS to addresses of your domain.",
                    id="notifications.E101",
                )
            )
    if not settings.EMAIL_FALLBACK_PROVIDER:
        found.append(
            Info(
                "There is no second mail provider: codes wait while the first one is away.",
                hint="Set EMAIL_FALLBACK_PROVIDER.",
                id="notifications.I102",
            )
        )
    if settings.EMAIL_PROVIDER == "console":
        return found
    found.append(
        Info(
            f"The DNS records of {', '.join(domains)} are not checked here.",
            hint="Run `manage.py check_email_domain`.",
            id="notifications.I103",
        )
    )
    return found


def _senders() -> list[str]:
    return [settings.DEFAULT_FROM_EMAIL, *settings.EMAIL_SENDERS.values()]


def _domain_of(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2].lower()


def _check_server(server: str) -> list[CheckMessage]:
    """Warn of a password that is not sent, or that is sent over the network in clear."""
    user = getattr(settings, f"{server}_HOST_USER")
    if not user and getattr(settings, f"{server}_HOST_PASSWORD"):
        return [
            Warning(
                f"{server}_HOST_PASSWORD is not used, because {server}_HOST_USER is not set.",
                hint=f"Set {server}_HOST_USER to the user name at the mail server.",
                id="notifications.W004",
            )
        ]
    is_here = getattr(settings, f"{server}_HOST") in {"localhost", "127.0.0.1", "::1"}
    if user and not is_here and not getattr(settings, f"{server}_USE_TLS"):
        return [
            Warning(
                f"The password of {server}_HOST_USER goes over the network unencrypted.",
                hint=f"Set {server}_USE_TLS=true. Most servers also need {server}_PORT=587.",
                id="notifications.W005",
            )
        ]
    return []
