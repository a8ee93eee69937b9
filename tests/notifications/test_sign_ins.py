"""`manage.py check_setup` signs in at mail providers, and sends nothing."""

from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult

from snap.local.embedded import free_port
from tests.helpers.mail_providers.choice import PROVIDERS
from tests.helpers.sign_in_faults import find, signing_in_at

pytestmark = [
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]
KEYS = {"resend": "RESEND_API_KEY", "sendgrid": "SENDGRID_API_KEY"}
LOGIN: dict[str, Any] = {"EMAIL_HOST_USER": "snap", "EMAIL_HOST_PASSWORD": "secret-of-the-server"}


def ids() -> list[str | None]:
    return [message.id for message in find()]


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_provider_that_takes_emails_is_well(name: str) -> None:
    with signing_in_at(name):
        assert ids() == (["notifications.I106"] if name == "mailgun" else [])


@pytest.mark.parametrize("name", sorted({*KEYS, "smtp"}))
def test_a_provider_that_is_away_is_found(name: str) -> None:
    with signing_in_at(name, runs=False):
        assert ids() == ["notifications.E104"]


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_key_that_is_refused_is_found_and_not_shown(name: str) -> None:
    refused: dict[str, Any] = {KEYS[name]: "re_secret_of_the_night"}
    with signing_in_at(name, **refused):
        [message] = find()
    assert message.id == "notifications.E105"
    assert "secret" not in str(message)


def refuse(*_arguments: object) -> AuthResult:
    return AuthResult(success=False, handled=False)


def test_a_login_that_is_refused_is_found_and_not_shown() -> None:
    server = Controller(
        Sink(), hostname="127.0.0.1", port=free_port(), authenticator=refuse, auth_require_tls=False
    )
    server.start()
    try:
        with signing_in_at("smtp", runs=False, EMAIL_PORT=server.port, **LOGIN):
            [message] = find()
    finally:
        server.stop()
    assert message.id == "notifications.E105"
    assert "secret" not in str(message)


@pytest.mark.parametrize(
    ("given", "words"), [({"EMAIL_USE_TLS": True}, "STARTTLS"), (LOGIN, "SMTP AUTH")]
)
def test_a_server_that_cannot_do_what_is_set_is_found(given: dict[str, Any], words: str) -> None:
    with signing_in_at("smtp", **given):
        [message] = find()
    assert message.id == "notifications.E104"
    assert f"({words} extension not supported by server)" in message.msg
