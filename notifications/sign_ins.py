"""System checks that sign in at the mail providers as an email would, and send none."""

from collections.abc import Sequence
from smtplib import SMTPAuthenticationError, SMTPNotSupportedError
from typing import Any
from urllib.parse import urljoin

import requests
from django.core.checks import CheckMessage, Error, Info, register
from django.core.mail.backends.base import BaseEmailBackend

from notifications.providers import Provider, providers
from notifications.smtp import SMTPBackend
from snap.resilience.http_sessions import limit_responses
from snap.setup import SERVERS

SECONDS = 5.0
# What providers let a key read that may only send. Mailgun lets such a key read nothing.
PATHS = {"resend": "domains", "sendgrid": "scopes"}
SENDING = "mail.send"  # SendGrid's name of the right to send.
RESTRICTED = "restricted_api_key"  # Resend's name of a key that may only send.


@register(SERVERS, deploy=True)
def check_sign_ins(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report providers that do not respond, or refuse the password or the key."""
    if not databases:
        return []
    found: list[CheckMessage] = []
    for provider in providers():
        found += check_sign_in(provider)
    return found


def check_sign_in(provider: Provider) -> list[CheckMessage]:
    backend = provider.connect()
    if isinstance(backend, SMTPBackend):
        return _sign_in_by_smtp(backend)
    if provider.name in PATHS:
        return _sign_in_by_api(provider.name, backend)
    if provider.name == "mailgun":
        return [_untried()]
    return []


def _sign_in_by_smtp(backend: SMTPBackend) -> list[CheckMessage]:
    server = f"{backend.host}:{backend.port}"
    try:
        backend.open()
        assert backend.connection is not None
        backend.connection.noop()
        backend.connection.quit()
    except SMTPAuthenticationError:
        return [_refused(f"The mail server {server}", f"password of {backend.username}")]
    except SMTPNotSupportedError as error:
        # It has no encryption, or no logins.
        return [_away(f"The mail server {server}", str(error).rstrip("."))]
    except OSError as error:
        return [_away(f"The mail server {server}", type(error).__name__)]
    return []


def _sign_in_by_api(name: str, backend: BaseEmailBackend) -> list[CheckMessage]:
    api: Any = backend
    try:
        with requests.Session() as session:
            limit_responses(session)
            response = session.get(
                urljoin(api.api_url, PATHS[name]),
                headers={"Authorization": f"Bearer {api.api_key}"},
                timeout=SECONDS,
                allow_redirects=False,
            )
    except OSError as error:
        return [_away(name.title(), type(error).__name__)]
    if _may_send(name, response):
        return []
    if response.status_code in {200, 400, 401, 403}:
        return [_refused(name.title(), f"key in {name.upper()}_API_KEY")]
    return [_away(name.title(), f"status {response.status_code}")]


def _may_send(name: str, response: requests.Response) -> bool:
    if name == "sendgrid":
        return response.status_code == 200 and SENDING in response.text
    return response.status_code == 200 or RESTRICTED in response.text


def _away(server: str, reason: str) -> CheckMessage:
    return Error(
        f"{server} does not respond as it should ({reason}): emails wait.",
        hint="Correct its host, port and encryption, or let SNAP through to it.",
        id="notifications.E104",
    )


def _refused(server: str, what: str) -> CheckMessage:
    return Error(
        f"{server} refuses the {what}: emails wait.",
        hint=f"Correct the {what}, or give it the right to send.",
        id="notifications.E105",
    )


def _untried() -> CheckMessage:
    return Info(
        "The key of mailgun is not tried here: one that may send may read nothing.",
        hint="Send yourself an example of an email, in admin.",
        id="notifications.I106",
    )
