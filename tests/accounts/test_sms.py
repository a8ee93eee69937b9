"""Codes by SMS: when, and what happens when the channel does not take them."""

import pytest
from pytest_django import Settings

from accounts.models import LoginCode
from accounts.services import send_login_code
from accounts.sms import ChannelError, ConsoleChannel
from notifications.models import Email
from tests.factories import make_account

pytestmark = pytest.mark.django_db


class Sent:
    """Stands in for a provider at the outside edge: keeps what it was handed."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.texts: list[tuple[str, str]] = []

    def send(self, phone: str, text: str) -> None:
        if self.fails:
            raise ChannelError("no")
        self.texts.append((phone, text))


sent, failing = Sent(), Sent(fails=True)
HERE = "tests.accounts.test_sms."


def test_an_unproven_phone_gets_its_code_by_sms(settings: Settings) -> None:
    settings.SMS_BACKEND = HERE + "sent"
    account = make_account(language="en")
    code = send_login_code(account, browser="b", address="192.0.2.1")
    assert sent.texts[-1] == (
        account.phone,
        f"{code.digits()} is your SNAP code. Tell it to nobody.",
    )
    assert not Email.objects.exists()


def test_a_proven_one_gets_it_by_email(settings: Settings) -> None:
    settings.SMS_BACKEND = HERE + "sent"
    account = make_account()
    send_login_code(account, browser="b", address="192.0.2.1").account.save()
    type(account).objects.update(verified_at=account.created_at or "2026-01-01T00:00Z")
    assert send_login_code(account, browser="b", address="192.0.2.1").channel == "email"
    assert Email.objects.filter(kind="login_code").count() == 1


def test_an_sms_that_is_not_taken_becomes_an_email(settings: Settings) -> None:
    settings.SMS_BACKEND = HERE + "failing"
    code = send_login_code(make_account(), browser="b", address="192.0.2.1")
    assert Email.objects.get().cause == f"login_code:{code.pk}"
    assert LoginCode.objects.get().channel == "email"


def test_the_console_shows_the_text_in_the_inbox_and_no_phone_in_the_log(
    settings: Settings, tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.INBOX_DIR = tmp_path
    ConsoleChannel().send("+351912345678", "123456 is your code")
    (kept,) = list(settings.INBOX_DIR.glob("*.eml"))
    assert "123456" in kept.read_text()
    assert "12345678" not in str([vars(record) for record in caplog.records])
