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
KEY = re.compile(r"[!-~]+")
# The port of SMTP in TLS from the first byte, which SNAP does not speak.
SMTPS = 465
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
    _check_server(env, "EMAIL", is_used=provider == "smtp")
    _check_server(env, "EMAIL_FALLBACK", is_used=fallback == "smtp")
    for each in {provider, fallback} & set(REQUIRED):
        env.require("DEFAULT_FROM_EMAIL", f"when emails are sent by {each}")
    if public_url.startswith("https://") and provider != "console":
        _check_sender(env, urlsplit(public_url).hostname or "")


def _check_server(env: Environment, server: str, *, is_used: bool) -> None:
    """Check the settings of a mail server, whose names begin with `server`."""
    user = f"{server}_HOST_USER"
    if env.str(user, ""):
        env.require(f"{server}_HOST_PASSWORD", f"when {user} is set")
    if env.port(f"{server}_PORT", 25) == SMTPS and is_used:
        raise SettingError(
            f"{server}_PORT cannot be 465: SNAP encrypts by STARTTLS. Most servers offer that at"
            f" 587; set {server}_USE_TLS=true too."
        )


def _check_provider(env: Environment, variable: str, provider: str) -> None:
    for name in REQUIRED.get(provider, ()):
        env.require(name, f"when {variable} is {provider}")
        _check_key(name, env.secret(name, ""))
    if provider in SIGNED_WITH and env.secret("MAIL_WEBHOOK_SECRET", ""):
        env.require(SIGNED_WITH[provider], "when MAIL_WEBHOOK_SECRET is set")


def _check_key(name: str, key: str) -> None:
    """Raise SettingError for a key that cannot be in a header, such as one with a line break."""
    if name.endswith("KEY") and not KEY.fullmatch(key):
        raise SettingError(f"{name} must have ASCII characters only, and no spaces.")


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
    _check_domain("DEFAULT_FROM_EMAIL", env.sender("DEFAULT_FROM_EMAIL", ""))
    for sender in env.json("EMAIL_SENDERS", {}).values():
        _check_domain("EMAIL_SENDERS", sender)


def _check_domain(name: str, sender: str) -> None:
    if PLACEHOLDER.fullmatch(parseaddr(sender)[1].rpartition("@")[2]):
        raise SettingError(
            f"{name} must have a domain of yours when PUBLIC_URL begins with https://."
        )
