"""Attacks on sign-in codes: guessing them, and causing costs by asking for many."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain
from statistics import median
from time import perf_counter

import pytest
from django.conf import settings as django_settings
from django.test import Client
from pytest_django import Settings

from accounts.exceptions import AccountError
from accounts.login_codes import send_login_code, verify_login_code
from accounts.models import BlockedPhone, LoginCode, User
from notifications.models import Email
from tests.factories import make_account, make_accounts, make_event
from tests.helpers.guards import at_once, slow, without_advisory_locks
from tests.helpers.outages import open_breaker
from tests.helpers.visitors import PHONE, Visitor, html_of, location_of, state_in

pytestmark = pytest.mark.django_db

BROWSER = "b" * 32


def guess(account: User, typed: str, browser: str = BROWSER) -> str:
    try:
        verify_login_code(phone=account.phone or "", browser=browser, typed=typed)
    except AccountError as error:
        return error.code
    return "in"


def ask(account: User, *, address: str = "192.0.2.1", browser: str = BROWSER) -> str:
    try:
        send_login_code(account, browser=browser, address=address)
    except AccountError as error:
        return error.code
    return "sent"


def wrong(code: LoginCode) -> str:
    return f"{(int(code.digits()) + 1) % 1_000_000:06d}"


# Guessing -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_five_of_200_concurrent_guesses_are_checked() -> None:
    account = make_account()
    code = send_login_code(account, browser=BROWSER, address="192.0.2.1")
    typed = wrong(code)

    def forty() -> list[str]:
        return [guess(account, typed) for _ in range(40)]

    outcomes = Counter(chain.from_iterable(at_once([forty] * 5)))
    assert outcomes["wrong_code"] == django_settings.LOGIN_CODE_TRIES == 5
    assert outcomes["too_many_tries"] == 195
    code.refresh_from_db()
    assert code.tries == 5
    assert guess(account, code.digits()) == "too_many_tries"


@pytest.mark.django_db(transaction=True)
def test_five_of_200_concurrent_guesses_at_two_codes_are_checked() -> None:
    account = make_account()
    codes = [send_login_code(account, browser=BROWSER, address="192.0.2.1") for _ in range(2)]
    typed = next(d for n in range(3) if (d := f"{n:06d}") not in {c.digits() for c in codes})

    def forty() -> list[str]:
        return [guess(account, typed) for _ in range(40)]

    outcomes = Counter(chain.from_iterable(at_once([forty] * 5)))
    assert outcomes == {"wrong_code": 5, "too_many_tries": 195}
    assert [guess(account, code.digits()) for code in codes] == ["too_many_tries"] * 2


def test_the_right_one_of_two_codes_uses_no_try() -> None:
    account = make_account()
    old, new = (send_login_code(account, browser=BROWSER, address="192.0.2.1") for _ in range(2))
    for _ in range(4):
        assert guess(account, wrong(new)) in {"wrong_code", "in"}
    assert guess(account, old.digits()) == "in"
    old.refresh_from_db()
    assert old.tries == 4


def test_a_used_code_voids_the_browsers_other_code() -> None:
    account = make_account()
    old, new = (send_login_code(account, browser=BROWSER, address="192.0.2.1") for _ in range(2))
    assert guess(account, new.digits()) == "in"
    assert guess(account, old.digits()) == "code_expired"
    assert guess(account, new.digits()) == "code_expired"


@pytest.mark.django_db(transaction=True)
def test_one_of_many_concurrent_right_codes_signs_in() -> None:
    account = make_account()
    old, new = (send_login_code(account, browser=BROWSER, address="192.0.2.1") for _ in range(2))
    works: list[Callable[[], str]] = [partial(guess, account, c.digits()) for c in (old, new)]
    outcomes = Counter(at_once(works * 4))
    assert outcomes == {"in": 1, "code_expired": 7}


def test_a_code_does_not_count_in_another_browser() -> None:
    account = make_account()
    code = send_login_code(account, browser=BROWSER, address="192.0.2.1")
    assert guess(account, code.digits(), "thief" * 6) == "code_expired"
    thief = Visitor(make_event())
    thief.look()
    thief.give_phone(account.phone or "")
    assert thief.send("code", code=code.digits()).status_code == 422
    assert state_in(thief.look()) == ""


def test_the_row_of_a_code_does_not_contain_its_digits() -> None:
    code = send_login_code(make_account(), browser=BROWSER, address="192.0.2.1")
    row = LoginCode.objects.filter(pk=code.pk).values().get()
    assert code.digits() not in str(row)
    twin = LoginCode(pk=code.pk, nonce="0" * 32)
    assert twin.digits() != code.digits()


# Pumping ------------------------------------------------------------------------------------------


def test_codes_for_one_phone_from_many_addresses_are_limited() -> None:
    account = make_account()
    outcomes = [ask(account, address=f"198.51.100.{n}") for n in range(20)]
    assert outcomes == ["sent"] * 5 + ["too_many_codes"] * 15
    assert Email.objects.filter(kind="login_code").count() == 5


def test_codes_for_one_phone_are_limited_despite_solved_challenges() -> None:
    account = make_account()

    def attempt(number: int) -> str:
        try:
            send_login_code(
                account, browser=f"{number:032}", address=f"198.51.100.{number}", solved=True
            )
        except AccountError as error:
            return error.code
        return "sent"

    assert Counter(attempt(number) for number in range(40)) == {"sent": 10, "too_many_codes": 30}
    assert Email.objects.filter(kind="login_code").count() == 10


def test_codes_from_one_address_are_limited(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_ADDRESS = 3
    outcomes = [ask(each) for each in make_accounts(6)]
    assert outcomes == ["sent"] * 3 + ["too_many_codes"] * 3


def test_ipv6_addresses_of_one_network_are_one(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_ADDRESS = 3
    outcomes = [ask(each, address=f"2001:db8::{n}") for n, each in enumerate(make_accounts(6))]
    assert outcomes == ["sent"] * 3 + ["too_many_codes"] * 3
    assert ask(make_account(), address="2001:db8:0:1::1") == "sent"


def test_codes_for_one_prefix_are_limited(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_PREFIX = 3
    pumped = [make_account(phone=f"+35192999{n:04}") for n in range(6)]
    outcomes = [ask(each, address=f"198.51.100.{n}") for n, each in enumerate(pumped)]
    assert outcomes == ["sent"] * 3 + ["too_many_codes"] * 3
    assert ask(make_account(phone="+351961234567")) == "sent"


def test_challenges_double_the_limit_of_a_prefix(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_PREFIX = 3
    pumped = [make_account(phone=f"+35192999{n:04}") for n in range(9)]
    for n, account in enumerate(pumped):
        with suppress(AccountError):
            send_login_code(account, browser=BROWSER, address=f"198.51.100.{n}", solved=True)
    assert LoginCode.objects.count() == 6


def test_the_system_has_a_limit_of_codes(settings: Settings) -> None:
    settings.LOGIN_CODES_IN_ALL = 3
    phones = ["+351912345678", "+447400123456", "+33612345678", "+34612345678", "+4915123456789"]
    outcomes = [
        ask(make_account(phone=phone), address=f"198.51.100.{n}") for n, phone in enumerate(phones)
    ]
    assert outcomes == ["sent"] * 3 + ["too_many_codes"] * 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_guarded", [False, True])
def test_the_limits_cannot_be_raced(is_guarded: bool, settings: Settings) -> None:
    settings.LOGIN_CODES_PER_ADDRESS = 1
    accounts = make_accounts(3)

    works: list[Callable[[], str]] = [partial(ask, each) for each in accounts]
    if not is_guarded:
        works = [without_advisory_locks(work) for work in works]
    with slow("accounts_logincode", "INSERT", seconds=0.2):
        outcomes = Counter(at_once(works))
    assert (outcomes["sent"] == 1) == is_guarded


def test_without_a_database_no_code_is_sent() -> None:
    account, visitor = make_account(), Visitor(make_event())
    visitor.look()
    with open_breaker():
        visitor.give_phone(account.phone or "")
        visitor.send("code", resend="1")
        visitor.send("prove")
    assert not LoginCode.objects.exists()
    assert not Email.objects.filter(kind="login_code").exists()


# Blocked phones -----------------------------------------------------------------------------------


def test_a_blocked_phone_is_refused_like_any_other() -> None:
    off = make_account(is_active=False)
    blocked = make_account(phone="+351939999991")
    BlockedPhone.objects.create(phone="+35193999", is_prefix=True, reason="fraud")
    event = make_event()

    def answer_to(account: User) -> tuple[int, str]:
        shown = Visitor(event).give_phone(account.phone or "")
        return shown.status_code, re.sub(r'value="\w{64}"', "", html_of(shown).split("<body")[1])

    assert answer_to(blocked) == answer_to(off)
    assert answer_to(blocked)[0] == 403
    assert not LoginCode.objects.exists()
    newcomer = Visitor(event)
    newcomer.give_phone("+351 939 999 992")
    shown = newcomer.register()
    assert shown.status_code == 403
    assert "We cannot take this request." in html_of(shown)
    assert not any(word in html_of(shown).lower() for word in ("block", "fraud"))


def test_the_api_refuses_a_blocked_phone_without_the_reason() -> None:
    event, blocked = make_event(), make_account()
    BlockedPhone.objects.create(phone=blocked.phone or "", reason="fraud")

    def answer_to(account: User) -> tuple[int, bytes]:
        browser = Client(headers={"accept-language": "en"})
        browser.force_login(account)
        body = {"event_id": event.pk}
        response = browser.post("/api/client-auth/guests/create-async", body, "application/json")
        return response.status_code, response.content

    status, body = answer_to(blocked)
    assert status == 403
    assert b'"refused"' in body
    assert b"lock" not in body


# Sessions -----------------------------------------------------------------------------------------


def test_signing_in_replaces_a_fixed_session() -> None:
    account, victim = make_account(), Visitor(make_event())
    victim.open("phone")
    victim.give_phone(account.phone or "")
    fixed = {name: morsel.value for name, morsel in victim.browser.cookies.items()}
    victim.type_code(account)
    after = {name: morsel.value for name, morsel in victim.browser.cookies.items()}
    assert fixed["session"] != after["session"]
    assert fixed["csrf"] != after["csrf"]
    attacker = Visitor(victim.event)
    for name, value in fixed.items():
        attacker.browser.cookies[name] = value
    assert location_of(attacker.send("request")) == attacker.step_url("phone")


def test_a_session_signed_with_another_key_is_ignored() -> None:
    attacker = Visitor(make_event())
    attacker.browser.cookies["session"] = "eyJfYXV0aF91c2VyX2lkIjoiMSJ9:1abcde:forged"
    assert location_of(attacker.send("request")) == attacker.step_url("phone")


# Timing -------------------------------------------------------------------------------------------


def test_a_wrong_code_takes_no_longer_for_a_known_phone_than_for_an_unknown_one() -> None:
    account = make_account()

    def times(phone: str) -> list[float]:
        taken = []
        for _ in range(60):
            began = perf_counter()
            with pytest.raises(AccountError, match="code_expired"):
                verify_login_code(phone=phone, browser=BROWSER, typed="000000")
            taken.append(perf_counter() - began)
        return taken

    known, unknown = times(account.phone or ""), times(PHONE)
    assert median(known) < 3 * median(unknown) + 0.01
    assert median(unknown) < 3 * median(known) + 0.01
