"""Sign-in codes while staff have turned emails with codes off: people are told so."""

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.exceptions import AccountError
from accounts.login_codes import send_login_code
from accounts.models import LoginCode, SuspiciousActivity
from notifications.models import Email
from tests.factories import make_account, make_event
from tests.helpers import sms
from tests.helpers.api import LOGIN, post_json
from tests.helpers.switches import turn_off, turn_on
from tests.helpers.visitors import PHONE, Visitor, html_of, with_and_without_htmx

pytestmark = pytest.mark.django_db

TEXT = "We are not sending codes by email right now."


@with_and_without_htmx
def test_the_page_says_that_no_codes_are_sent(htmx: bool) -> None:
    make_account(phone=PHONE)
    turn_off("emails_login_code")
    visitor = Visitor(make_event(), htmx=htmx)
    refused = visitor.give_phone()
    assert refused.status_code == 409
    assert TEXT in html_of(refused)
    assert not LoginCode.objects.exists()
    assert not Email.objects.exists()
    assert not SuspiciousActivity.objects.exists(), "the visitor has done nothing"
    turn_on("emails_login_code")
    visitor.give_phone()
    assert Email.objects.filter(kind="login_code").count() == 1


def test_the_call_says_so_with_a_code(client: Client) -> None:
    account = make_account()
    turn_off("emails_login_code")
    refused = post_json(client, LOGIN, {"phone": account.phone})
    assert (refused.status_code, refused.json()["code"]) == (409, "codes_paused")
    turn_on("emails_login_code")
    assert post_json(client, LOGIN, {"phone": account.phone}).status_code == 202


def test_a_page_with_a_field_for_a_code_says_that_more_may_not_come() -> None:
    make_account(phone=PHONE)
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert TEXT not in html_of(visitor.open("code"))
    turn_off("emails_login_code")
    assert TEXT in html_of(visitor.open("code"))


@with_and_without_htmx
def test_a_code_that_came_before_can_still_be_typed(htmx: bool) -> None:
    account = make_account(phone=PHONE)
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    turn_off("emails_login_code")
    for asked in (visitor.send("code", resend="1"), visitor.give_phone()):
        page = html_of(asked if asked.status_code == 200 else visitor.get(asked["Location"]))
        assert TEXT in page
        assert 'name="code"' in page
    visitor.type_code(account)
    account.refresh_from_db()
    assert account.verified_at


def test_an_account_whose_email_is_corrected_reads_so() -> None:
    account = make_account(verified_at="2026-01-01T00:00Z", proven_by="email")
    event = make_event()
    turn_off("emails_login_code")
    visitor = Visitor(event).signed_in(account)
    visitor.open("email")
    assert TEXT in html_of(visitor.send("email", send="1"))


def test_a_proof_that_an_event_requires_says_so_too() -> None:
    turn_off("emails_login_code")
    visitor = Visitor(make_event(requires_proof=True)).signed_in(make_account())
    visitor.open("prove")
    assert TEXT in html_of(visitor.send("prove"))


def test_codes_by_sms_still_go_out(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.WORKING
    turn_off("emails_login_code")
    assert send_login_code(make_account(), browser="b", address="192.0.2.1").channel == "sms"


def test_a_failing_sms_does_not_become_an_email_that_waits(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.FAILING
    turn_off("emails_login_code")
    with pytest.raises(AccountError, match="codes_paused"):
        send_login_code(make_account(), browser="b", address="192.0.2.1")
    assert not Email.objects.exists()
    turn_on("emails_login_code")
    assert send_login_code(make_account(), browser="b", address="192.0.2.1")
    assert Email.objects.count() == 1
