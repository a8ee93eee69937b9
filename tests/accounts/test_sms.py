"""Codes by SMS: which codes go by SMS, and what happens when the channel fails."""

import pytest
from pytest_django import Settings

from accounts.login_codes import send_login_code
from accounts.models import LoginCode
from accounts.sms import ConsoleChannel
from notifications.models import Email
from tests.factories import make_account
from tests.helpers import sms

pytestmark = pytest.mark.django_db


def test_an_unproven_phone_gets_its_code_by_sms(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.WORKING
    account = make_account(language="en")
    code = send_login_code(account, browser="b", address="192.0.2.1")
    assert sms.working.texts[-1] == (
        account.phone,
        f"{code.digits()} is your SNAP code. Tell it to nobody.",
    )
    assert not Email.objects.exists()


def test_a_proven_phone_gets_its_code_by_email(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.WORKING
    account = make_account()
    send_login_code(account, browser="b", address="192.0.2.1").account.save()
    type(account).objects.update(verified_at=account.created_at or "2026-01-01T00:00Z")
    assert send_login_code(account, browser="b", address="192.0.2.1").channel == "email"
    assert Email.objects.filter(kind="login_code").count() == 1


def test_a_refused_sms_becomes_an_email(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.FAILING
    code = send_login_code(make_account(), browser="b", address="192.0.2.1")
    assert Email.objects.get().cause == f"login_code:{code.pk}"
    assert LoginCode.objects.get().channel == "email"


def test_the_console_channel_writes_to_the_inbox_and_logs_no_phone(
    settings: Settings, tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.INBOX_DIR = tmp_path
    ConsoleChannel().send("+351912345678", "123456 is your code")
    (kept,) = list(settings.INBOX_DIR.glob("*.eml"))
    assert "123456" in kept.read_text()
    assert "12345678" not in str([vars(record) for record in caplog.records])


def test_a_landline_gets_its_code_by_email(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.WORKING
    sent = len(sms.working.texts)
    account = make_account(phone="+351210000000")
    assert send_login_code(account, browser="b", address="192.0.2.1").channel == "email"
    assert Email.objects.get().to == account.email
    assert len(sms.working.texts) == sent
