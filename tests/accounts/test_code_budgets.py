"""Attempts to keep an account from signing in, by an attacker who knows only its phone."""

import re
from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import LoginCode, User
from notifications.models import Email
from tests.factories import make_account, make_event
from tests.helpers.api import LOGIN
from tests.helpers.challenges import follow, hidden_in, solve_and_follow, solve_shown
from tests.helpers.codes import age_codes, seconds_shown, sign_out, strangers_ask
from tests.helpers.visitors import (
    PHONE,
    Visitor,
    html_of,
    last_code,
    location_of,
    rows,
    with_and_without_htmx,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cheap_challenges")]


@pytest.fixture
def account() -> User:
    return make_account(phone=PHONE)


# Codes that owners keep ---------------------------------------------------------------------------


def test_codes_for_strangers_do_not_void_the_owners_code(account: User) -> None:
    owner = Visitor(make_event())
    owner.give_phone()
    held = last_code(account).digits()
    strangers_ask(20)
    assert "/ticket/" in location_of(owner.send("code", code=held))


def test_wrong_guesses_of_strangers_use_none_of_the_owners_tries(account: User) -> None:
    owner = Visitor(make_event())
    owner.give_phone()
    held = last_code(account).digits()
    stranger = Visitor(owner.event)
    stranger.give_phone()
    for _ in range(10):
        stranger.send("code", code="000000")
    assert "/ticket/" in location_of(owner.send("code", code=held))


def browser_after_code(account: User, event: Any) -> Visitor:
    visitor = Visitor(event)
    visitor.give_phone()
    visitor.type_code(account)
    sign_out(visitor)
    return visitor


def browser_after_registration(_account: User, event: Any) -> Visitor:
    User.objects.all().delete()
    visitor = Visitor(event)
    visitor.give_phone()
    visitor.register()
    sign_out(visitor)
    return visitor


@pytest.mark.parametrize("came_before", [browser_after_code, browser_after_registration])
def test_a_known_browser_has_a_budget_of_its_own(
    account: User, came_before: Callable[[User, Any], Visitor]
) -> None:
    owner = came_before(account, make_event())
    strangers_ask(25)
    asked = [owner.give_phone().status_code for _ in range(6)]
    sent_before = 1 if came_before is browser_after_code else 0
    assert asked == [303] * (5 - sent_before) + [429] * (1 + sent_before)
    assert "Too many attempts" in html_of(owner.give_phone())


def test_the_limit_of_a_network_does_not_apply_to_a_proven_browser(
    account: User, settings: Settings
) -> None:
    owner = browser_after_code(account, make_event())
    settings.LOGIN_CODES_PER_ADDRESS = settings.LOGIN_CODES_PER_PREFIX = 1
    assert owner.give_phone().status_code == 303


# Challenges past the budget -----------------------------------------------------------------------


@with_and_without_htmx
def test_a_new_browser_solves_a_challenge_and_has_its_code(account: User, *, htmx: bool) -> None:
    strangers_ask(5)
    owner = Visitor(make_event(), htmx=htmx)
    refused = owner.give_phone()
    assert refused.status_code == 429
    assert "Many codes were asked for" in html_of(refused)
    response = solve_and_follow(owner.browser, refused)
    assert response.status_code == (200 if htmx else 303)
    owner.remember(response)
    ticket = owner.type_code(account)
    assert "/ticket/" in (ticket["HX-Push-Url"] if htmx else location_of(ticket))


def test_one_solution_is_one_code(account: User) -> None:
    strangers_ask(5)
    thief = Visitor(make_event())
    solve_and_follow(thief.browser, thief.give_phone())
    planted = thief.browser.cookies["session"].value
    assert LoginCode.objects.count() == 6
    assert thief.give_phone().status_code == 429
    # A copy of the cookie from before the solution was used does not count either.
    thief.browser.cookies["session"] = planted
    assert thief.give_phone().status_code == 429
    assert LoginCode.objects.count() == 6


def test_no_number_of_solutions_fills_an_inbox(account: User, settings: Settings) -> None:
    event = make_event()
    for number in range(30):
        thief = Visitor(event)
        thief.browser.defaults["REMOTE_ADDR"] = f"198.51.100.{number + 1}"
        refused = thief.give_phone()
        if refused.status_code == 429 and 'data-challenge="' in html_of(refused):
            solve_and_follow(thief.browser, refused)
    assert Email.objects.filter(kind="login_code", to=account.email).count() == 10
    late = Visitor(event).give_phone()
    assert (late.status_code, 'data-challenge="' in html_of(late)) == (429, False)


@pytest.mark.parametrize("purpose", ["address", "phone"])
def test_a_challenge_for_another_purpose_gives_no_code(account: User, purpose: str) -> None:
    strangers_ask(5)
    thief = Visitor(make_event())
    refused = thief.give_phone()
    form = hidden_in(refused) | {"for": purpose}
    again = follow(thief.browser, solve_shown(thief.browser, refused, **{"for": purpose}), form)
    assert again.status_code == 429
    assert LoginCode.objects.count() == 5


def test_a_crowd_behind_one_address_gets_its_codes(settings: Settings) -> None:
    settings.LOGIN_CODES_PER_ADDRESS = 3
    event, accounts = make_event(), [make_account() for _ in range(10)]
    for each in accounts:
        visitor = Visitor(event)
        asked = visitor.give_phone(each.phone or "")
        if asked.status_code == 429:
            solve_and_follow(visitor.browser, asked)
    assert LoginCode.objects.values("account").distinct().count() == 10


def test_no_challenge_raises_the_limit_of_the_system(settings: Settings) -> None:
    settings.LOGIN_CODES_IN_ALL = 3
    event = make_event()
    responses = [Visitor(event).give_phone(make_account().phone or "") for _ in range(5)]
    assert [response.status_code for response in responses] == [303] * 3 + [429] * 2
    assert 'data-challenge="' not in html_of(responses[-1])


def test_the_api_names_the_challenge_and_takes_its_solution(account: User) -> None:
    strangers_ask(5)
    browser = Client()
    refused = browser.post(LOGIN, {"phone": PHONE}, "application/json")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_codes")
    page = browser.get(refused.json()["challengeUrl"])
    solve_shown(browser, page)
    assert browser.post(LOGIN, {"phone": PHONE}, "application/json").status_code == 202
    assert browser.post(LOGIN, {"phone": PHONE}, "application/json").status_code == 429


def test_two_phones_in_the_same_state_get_the_same_response() -> None:
    """The response does not depend on why an account gets no code."""
    one, other = make_account(email=""), make_account(is_active=False)
    statuses = [
        Visitor(make_event()).give_phone(each.phone or "").status_code for each in (one, other)
    ]
    assert statuses == [403, 403]


# Time until the next code -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["browser", "strangers", "address", "prefix", "in all", "wall"])
def test_more_requests_do_not_extend_the_wait(account: User, kind: str, settings: Settings) -> None:
    limits = {
        "browser": {"LOGIN_CODES_PER_BROWSER": 2},
        "strangers": {"LOGIN_CODES_PER_PHONE": 2},
        "address": {"LOGIN_CODES_PER_ADDRESS": 2},
        "prefix": {"LOGIN_CODES_PER_PREFIX": 2},
        "in all": {"LOGIN_CODES_IN_ALL": 2},
        "wall": {"LOGIN_CODES_PER_PHONE": 2, "LOGIN_CODES_SOLVED": 0},
    }
    for name, value in limits[kind].items():
        setattr(settings, name, value)
    event = make_event()
    visitor = Visitor(event)
    visitor.give_phone()
    age_codes(200)
    (visitor if kind == "browser" else Visitor(event)).give_phone()
    age_codes(40)
    late = visitor if kind == "browser" else Visitor(event)
    looks = [seconds_shown(late.give_phone()) for _ in range(3)]
    oldest = LoginCode.objects.earliest("created_at").created_at
    truth = ceil((oldest + timedelta(minutes=10) - timezone.now()).total_seconds())
    assert all(truth <= look <= truth + 1 for look in looks), (looks, truth)
    assert 355 <= truth <= 360
    age_codes(truth)
    assert late.give_phone().status_code == 303


def test_the_api_gives_the_same_wait(account: User, settings: Settings) -> None:
    settings.LOGIN_CODES_PER_BROWSER = 1
    browser = Client()
    browser.post(LOGIN, {"phone": PHONE}, "application/json")
    age_codes(240)
    refused = browser.post(LOGIN, {"phone": PHONE}, "application/json")
    assert refused.json()["retryAfter"] in {359, 360}


# Spellings of a code ------------------------------------------------------------------------------

WAYS = [
    "{}-{}",
    "{} {}",
    " {}\u00a0{} ",
    "{}\u2011{}",
    "{}\u2013{}",
    "{}\u2014{}",
    "{}\u2212{}",
    "{}\u30fc{}",
    "{}.{}",
    "{}\u00b7{}",
    "{}/{}",
    "{}_{}",
    "\u200b{}\u200b{}\ufeff",
    "\u202a{}\u202c {}",
    "{}\u00ad{}",
    "\u201c{} {}\u201d",
    "{}\t{}",
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: ascii(way))
def test_a_pasted_code_is_accepted_with_its_separators(account: User, way: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    digits = last_code(account).digits()
    typed = way.format(digits[:3], digits[3:])
    assert "/ticket/" in location_of(visitor.send("code", code=typed))
    browser = Client()
    browser.post(LOGIN, {"phone": PHONE}, "application/json")
    digits = last_code(account).digits()
    typed = way.format(digits[:3], digits[3:])
    response = browser.post(LOGIN, {"phone": PHONE, "code": typed}, "application/json")
    assert response.status_code == 200, response.content


def test_the_code_field_has_no_pattern(account: User) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    field = re.search(r'<input[^>]*name="code"[^>]*>', html_of(visitor.open("code")))
    assert field
    assert "pattern" not in field[0]


@pytest.mark.parametrize(
    "typed", ["12345", "1234567", "12345a", "+123456", "123456½", "１２３４５"]
)
def test_a_malformed_code_uses_no_try(account: User, typed: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    before = rows()
    assert visitor.send("code", code=typed).status_code == 422
    assert (rows(), last_code(account).tries) == (before, 0)
