"""A stranger who wants to keep somebody from signing in, and only knows their phone."""

import re
from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import LoginCode, User
from notifications.models import Email
from tests.factories import make_account, make_event
from tests.helpers.visitors import PHONE, Answer, Visitor, html_of, last_code, location_of, rows
from tests.promo.limits.test_middleware import solution_of

pytestmark = pytest.mark.django_db

LOGIN = "/api/client-auth/login"


@pytest.fixture(autouse=True)
def _quick(settings: Settings) -> None:
    settings.CHALLENGE_COST = 1


@pytest.fixture
def account() -> User:
    return make_account(phone=PHONE)


def strangers_ask(times: int) -> None:
    """Ask for codes for the phone, each time in a fresh browser somewhere else."""
    event = make_event()
    for number in range(times):
        stranger = Visitor(event)
        stranger.browser.defaults["REMOTE_ADDR"] = f"198.51.100.{number + 1}"
        stranger.give_phone()


def hidden_in(response: Answer, action: str = "/challenge/") -> dict[str, str]:
    """Return the hidden fields of the form that leads somewhere."""
    found = re.search(rf'<form [^>]*action="{action}".*?</form>', html_of(response), re.DOTALL)
    assert found, html_of(response)[:2000]
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[0]))


def solve(browser: Client, refused: Answer, **changed: str) -> Answer:
    """Solve the challenge that an answer shows, and send its form as the page does."""
    form = hidden_in(refused) | changed
    posed = browser.get(f"/challenge/new?for={form['for']}").json()
    return browser.post("/challenge/", form | {"altcha": solution_of(posed)})


def follow(browser: Client, response: Answer, form: dict[str, str]) -> Answer:
    """Repeat a form where 307 says, as browsers do."""
    assert response.status_code == 307, (response.status_code, response.content[:500])
    return browser.post(response["Location"], form)


def solve_and_follow(browser: Client, refused: Answer) -> Answer:
    form = hidden_in(refused)
    return follow(browser, solve(browser, refused), form)


# Who cannot be kept out --------------------------------------------------------------------------


def test_a_code_that_the_owner_holds_survives_whatever_strangers_ask_for(account: User) -> None:
    owner = Visitor(make_event())
    owner.give_phone()
    held = last_code(account).digits()
    strangers_ask(20)
    assert "/ticket/" in location_of(owner.send("code", code=held))


def test_wrong_guesses_of_strangers_cost_the_owner_no_try(account: User) -> None:
    owner = Visitor(make_event())
    owner.give_phone()
    held = last_code(account).digits()
    stranger = Visitor(owner.event)
    stranger.give_phone()
    for _ in range(10):
        stranger.send("code", code="000000")
    assert "/ticket/" in location_of(owner.send("code", code=held))


def used_by_code(account: User, event: Any) -> Visitor:
    visitor = Visitor(event)
    visitor.give_phone()
    visitor.type_code(account)
    browser_id = visitor.browser.session["browser"]
    sign_out(visitor, browser_id)
    return visitor


def used_to_register(_account: User, event: Any) -> Visitor:
    User.objects.all().delete()
    visitor = Visitor(event)
    visitor.give_phone()
    visitor.register()
    sign_out(visitor, visitor.browser.session["browser"])
    return visitor


def sign_out(visitor: Visitor, browser_id: str) -> None:
    """Sign out; the browser keeps its id."""
    visitor.browser.post("/sign-out/")
    session = visitor.browser.session
    session["browser"] = browser_id
    session.save()
    visitor.browser.cookies["session"] = session.session_key or ""


@pytest.mark.parametrize("came_before", [used_by_code, used_to_register])
def test_a_browser_used_before_has_a_budget_of_its_own(
    account: User, came_before: Callable[[User, Any], Visitor]
) -> None:
    owner = came_before(account, make_event())
    strangers_ask(25)
    asked = [owner.give_phone().status_code for _ in range(6)]
    sent_before = 1 if came_before is used_by_code else 0
    assert asked == [303] * (5 - sent_before) + [429] * (1 + sent_before)
    assert "Too many attempts" in html_of(owner.give_phone())


def test_a_proven_browser_is_not_kept_out_by_its_network(account: User, settings: Settings) -> None:
    owner = used_by_code(account, make_event())
    settings.LOGIN_CODES_PER_ADDRESS = settings.LOGIN_CODES_PER_PREFIX = 1
    assert owner.give_phone().status_code == 303


# A challenge instead of a wall -------------------------------------------------------------------


@pytest.mark.parametrize("htmx", [False, True], ids=["plain", "htmx"])
def test_a_new_browser_solves_a_challenge_and_has_its_code(account: User, *, htmx: bool) -> None:
    strangers_ask(5)
    owner = Visitor(make_event(), htmx=htmx)
    refused = owner.give_phone()
    assert refused.status_code == 429
    assert "Many codes were asked for" in html_of(refused)
    response = solve_and_follow(owner.browser, refused)
    assert response.status_code == (200 if htmx else 303)
    owner._see(response)
    ticket = owner.type_code(account)
    assert "/ticket/" in (ticket["HX-Push-Url"] if htmx else location_of(ticket))


def test_one_solution_is_one_code(account: User) -> None:
    strangers_ask(5)
    thief = Visitor(make_event())
    solve_and_follow(thief.browser, thief.give_phone())
    planted = thief.browser.cookies["session"].value
    assert LoginCode.objects.count() == 6
    assert thief.give_phone().status_code == 429
    # Nor does a copy of the cookie from when the pass was fresh.
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
def test_another_challenge_buys_no_code(account: User, purpose: str) -> None:
    strangers_ask(5)
    thief = Visitor(make_event())
    refused = thief.give_phone()
    form = hidden_in(refused) | {"for": purpose}
    again = follow(thief.browser, solve(thief.browser, refused, **{"for": purpose}), form)
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


def test_the_whole_system_has_an_end_that_no_challenge_lifts(settings: Settings) -> None:
    settings.LOGIN_CODES_IN_ALL = 3
    event = make_event()
    answers = [Visitor(event).give_phone(make_account().phone or "") for _ in range(5)]
    assert [response.status_code for response in answers] == [303] * 3 + [429] * 2
    assert 'data-challenge="' not in html_of(answers[-1])


def test_the_api_names_the_challenge_and_takes_its_solution(account: User) -> None:
    strangers_ask(5)
    browser = Client()
    refused = browser.post(LOGIN, {"phone": PHONE}, "application/json")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_codes")
    page = browser.get(refused.json()["challengeUrl"])
    solve(browser, page)
    assert browser.post(LOGIN, {"phone": PHONE}, "application/json").status_code == 202
    assert browser.post(LOGIN, {"phone": PHONE}, "application/json").status_code == 429


def test_a_challenge_for_codes_says_no_more_than_the_code_form() -> None:
    """Two phones in the same state are told the same, whoever has them."""
    one, other = make_account(email=""), make_account(is_active=False)
    told = [Visitor(make_event()).give_phone(each.phone or "").status_code for each in (one, other)]
    assert told == [403, 403]


# The clock ---------------------------------------------------------------------------------------


def shown_wait(response: Answer) -> int:
    found = re.search(r'data-countdown="(\d+)"', html_of(response))
    assert found
    assert found[1] == response["Retry-After"]
    return int(found[1])


def age_codes(seconds: int) -> None:
    LoginCode.objects.update(created_at=F("created_at") - timedelta(seconds=seconds))


@pytest.mark.parametrize("kind", ["browser", "strangers", "address", "prefix", "in all", "wall"])
def test_the_clock_does_not_begin_anew_with_each_look(
    account: User, kind: str, settings: Settings
) -> None:
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
    looks = [shown_wait(late.give_phone()) for _ in range(3)]
    oldest = LoginCode.objects.earliest("created_at").created_at
    truth = ceil((oldest + timedelta(minutes=10) - timezone.now()).total_seconds())
    assert all(truth <= look <= truth + 1 for look in looks), (looks, truth)
    assert 355 <= truth <= 360
    age_codes(truth)
    assert late.give_phone().status_code == 303


def test_the_api_says_the_same_time(account: User, settings: Settings) -> None:
    settings.LOGIN_CODES_PER_BROWSER = 1
    browser = Client()
    browser.post(LOGIN, {"phone": PHONE}, "application/json")
    age_codes(240)
    refused = browser.post(LOGIN, {"phone": PHONE}, "application/json")
    assert refused.json()["retryAfter"] in {359, 360}


# Ways to type a code -----------------------------------------------------------------------------

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
def test_a_code_is_taken_as_it_was_pasted(account: User, way: str) -> None:
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


def test_the_form_refuses_no_separator_by_itself(account: User) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    field = re.search(r'<input[^>]*name="code"[^>]*>', html_of(visitor.open("code")))
    assert field
    assert "pattern" not in field[0]


@pytest.mark.parametrize(
    "typed", ["12345", "1234567", "12345a", "+123456", "123456½", "１２３４５"]
)
def test_what_is_no_code_costs_no_try(account: User, typed: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    before = rows()
    assert visitor.send("code", code=typed).status_code == 422
    assert (rows(), last_code(account).tries) == (before, 0)
