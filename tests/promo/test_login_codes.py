"""Codes on the way to a place: which of them count, how often, and in which browser."""

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import LoginCode, User
from guests.models import GuestRequest
from notifications.models import Email
from tests.factories import make_account, make_accounts, make_event
from tests.helpers.visitors import PHONE, Visitor, error_beside, html_of, last_code, location_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def at_code_form() -> tuple[Visitor, User]:
    """A visitor at the code form, and the account whose code was sent."""
    account = make_account()
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    return visitor, account


@pytest.mark.parametrize("which", [0, 1])
def test_the_last_two_codes_are_good(which: int, at_code_form: tuple[Visitor, User]) -> None:
    visitor, account = at_code_form
    codes = [last_code(account).digits()]
    assert location_of(visitor.send("code", resend="1")) == visitor.step_url("code")
    codes.append(last_code(account).digits())
    assert Email.objects.filter(kind="login_code").count() == 2
    assert "/ticket/" in location_of(visitor.send("code", code=codes[which]))


def test_a_third_code_voids_the_first(at_code_form: tuple[Visitor, User]) -> None:
    visitor, account = at_code_form
    first = last_code(account).digits()
    for _ in range(2):
        visitor.send("code", resend="1")
    refused = visitor.send("code", code=first)
    assert (refused.status_code, bool(error_beside("code", refused))) == (422, True)
    assert "/ticket/" in location_of(visitor.type_code(account))


def test_a_code_counts_only_in_the_browser_that_asked_for_it(
    at_code_form: tuple[Visitor, User],
) -> None:
    visitor, account = at_code_form
    thief = Visitor(visitor.event)
    # The thief reaches the code form too, with another phone.
    accomplice = make_account()
    thief.give_phone(accomplice.phone or "")
    assert thief.send("code", code=last_code(account).digits()).status_code == 422
    assert not GuestRequest.objects.exists()
    assert "/ticket/" in location_of(visitor.type_code(account))


def test_a_code_for_another_browser_does_not_void_this_one(
    at_code_form: tuple[Visitor, User],
) -> None:
    visitor, account = at_code_form
    own = last_code(account).digits()
    elsewhere = Visitor(visitor.event)
    elsewhere.give_phone(account.phone or "")
    assert "/ticket/" in location_of(visitor.send("code", code=own))
    assert "/ticket/" in location_of(elsewhere.type_code(account))


def test_an_expired_code_is_refused(at_code_form: tuple[Visitor, User]) -> None:
    visitor, account = at_code_form
    LoginCode.objects.update(expires_at=Now())
    response = visitor.type_code(account)
    assert response.status_code == 422
    assert "no longer counts" in error_beside("code", response)
    assert not GuestRequest.objects.exists()


def test_a_code_counts_once(at_code_form: tuple[Visitor, User]) -> None:
    visitor, account = at_code_form
    visitor.type_code(account)
    visitor.browser.post("/sign-out/")
    visitor.give_phone(account.phone or "")
    used = LoginCode.objects.filter(used_at__isnull=False).get()
    assert visitor.send("code", code=used.digits()).status_code == 422


def test_the_sixth_try_is_refused_even_with_the_right_code(
    at_code_form: tuple[Visitor, User],
) -> None:
    visitor, account = at_code_form
    right = last_code(account).digits()
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for _ in range(5):
        response = visitor.send("code", code=wrong)
        assert "not the code" in error_beside("code", response)
    response = visitor.send("code", code=right)
    assert response.status_code == 422
    assert "Too many wrong codes" in error_beside("code", response)
    assert not GuestRequest.objects.exists()


def test_codes_are_limited_for_a_browser(
    settings: Settings, at_code_form: tuple[Visitor, User]
) -> None:
    visitor, account = at_code_form
    settings.LOGIN_CODES_PER_BROWSER = 2
    visitor.send("code", resend="1")
    for response in (visitor.send("code", resend="1"), visitor.give_phone(account.phone or "")):
        assert response.status_code == 429
        assert response["Retry-After"] in {"599", "600"}
        assert "Too many attempts" in html_of(response)
        assert f'data-countdown="{response["Retry-After"]}"' in html_of(response)
    assert Email.objects.filter(kind="login_code").count() == 2


def test_codes_are_limited_for_an_address(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_ADDRESS = 2
    event = make_event()
    responses = [Visitor(event).give_phone(account.phone or "") for account in make_accounts(3)]
    assert [response.status_code for response in responses] == [303, 303, 429]


def test_a_phone_that_was_registered_meanwhile_leads_to_its_code() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    account = make_account(phone=PHONE)
    assert location_of(visitor.register()) == visitor.step_url("code")
    assert User.objects.get() == account
    assert not Email.objects.filter(kind="welcome").exists()
    assert "/ticket/" in location_of(visitor.type_code(account))


def test_a_person_beside_a_signed_in_account_corrects_nothing_of_it() -> None:
    """Two people share a browser: the email of the one is not changed by the other."""
    account = make_account(phone=PHONE)
    visitor = Visitor(make_event()).signed_in(make_account())
    visitor.give_phone()
    page = html_of(visitor.open("code"))
    assert "Correct the email" not in page
    assert "This is not my email" in page
    page = html_of(Visitor(visitor.event).signed_in(account).open("prove"))
    assert "This is not my email" not in page


def test_somebody_beside_a_signed_in_account_can_claim_a_phone_without_codes(
    settings: Settings,
) -> None:
    settings.LOGIN_CODES_PER_PHONE = 1
    settings.LOGIN_CODES_SOLVED = 0
    make_account(phone=PHONE)
    visitor = Visitor(make_event()).signed_in(make_account())
    visitor.give_phone()
    assert "Somebody else has my number" in html_of(visitor.give_phone())
