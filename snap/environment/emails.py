"""Checks settings of emails that depend on each other."""

import re
from email.utils import parseaddr
from urllib.parse import urlsplit

from snap.environment.errors import SettingError
from snap.environment.values import Environment

# What each provider cannot work without.
REQUIRED = {
    "resend": ("RESEND_API_KEY",),
    "sendgrid": ("SENDGRID_API_KEY",),
    "mailgun": ("MAILGUN_API_KEY", "MAILGUN_SENDER_DOMAIN"),
}
# The key with which SNAP checks the signatures of each provider's reports.
SIGNED_WITH = {
    "resend": "RESEND_SIGNING_SECRET",
    "sendgrid": "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY",
    "mailgun": "MAILGUN_WEBHOOK_SIGNING_KEY",
}
# A key travels in a header of each request.
KEY = re.compile(r"[!-~]+")
# Domains that never send email (RFC 2606, RFC 6761).
PLACEHOLDER = re.compile(
    r"(.*\.)?(example|example\.(com|net|org)|invalid|test|localhost)", re.IGNORECASE
)


def check_email_settings(env: Environment, provider: str, fallback: str, public_url: str) -> None:
    """Raise SettingError for a setting of emails that is missing, or does not fit another one."""
    _check_provider(env, "EMAIL_PROVIDER", provider)
    if fallback:
        _check_provider(env, "EMAIL_FALLBACK_PROVIDER", fallback)
        _check_fallback(env, provider, fallback)
    for user in ("EMAIL_HOST_USER", "EMAIL_FALLBACK_HOST_USER"):
        if env.str(user, ""):
            env.require(user.replace("USER", "PASSWORD"), f"when {user} is set")
    for each in {provider, fallback} & set(REQUIRED):
        env.require("DEFAULT_FROM_EMAIL", f"when emails are sent by {each}")
    if public_url.startswith("https://") and provider != "console":
        _check_sender(env, urlsplit(public_url).hostname or "")


def _check_provider(env: Environment, variable: str, provider: str) -> None:
    for name in REQUIRED.get(provider, ()):
        env.require(name, f"when {variable} is {provider}")
        if name.endswith("_API_KEY") and not KEY.fullmatch(env.secret(name, "")):
            # No request could be made, so every email would fail.
            raise SettingError(f"{name} must have ASCII characters only, and no spaces.")
    if provider in SIGNED_WITH and env.secret("MAIL_WEBHOOK_SECRET", ""):
        env.require(SIGNED_WITH[provider], "when MAIL_WEBHOOK_SECRET is set")


def _check_fallback(env: Environment, provider: str, fallback: str) -> None:
    if fallback == provider != "smtp":
        raise SettingError(
            "EMAIL_FALLBACK_PROVIDER must be another provider than EMAIL_PROVIDER, or empty."
        )
    if fallback != "smtp":
        return
    env.require("EMAIL_FALLBACK_HOST", "when EMAIL_FALLBACK_PROVIDER is smtp")
    first = env.host("EMAIL_HOST", "localhost").lower(), env.port("EMAIL_PORT", 25)
    second = env.host("EMAIL_FALLBACK_HOST", "").lower(), env.port("EMAIL_FALLBACK_PORT", 25)
    if provider == "smtp" and first == second:
        raise SettingError(
            "EMAIL_FALLBACK_HOST must be another mail server than EMAIL_HOST, or have another port."
        )


def _check_sender(env: Environment, host: str) -> None:
    """Raise SettingError for a sender without a real domain, where SNAP has one."""
    if PLACEHOLDER.fullmatch(host):
        return
    env.require("DEFAULT_FROM_EMAIL", "when PUBLIC_URL begins with https://")
    address = parseaddr(env.sender("DEFAULT_FROM_EMAIL", ""))[1]
    if PLACEHOLDER.fullmatch(address.rpartition("@")[2]):
        raise SettingError(
            "DEFAULT_FROM_EMAIL must have a domain of yours when PUBLIC_URL begins with https://."
        )
