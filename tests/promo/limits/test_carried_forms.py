"""A form that met a limit: our page sends it again after the challenge, once."""

import logging
import re
from html import escape
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from guests.models import Guest, GuestRequest
from tests.factories import make_account, make_event
from tests.helpers.challenges import follow, hidden_in, solve_and_follow, solve_shown
from tests.helpers.codes import strangers_ask
from tests.helpers.visitors import (
    PERSON,
    PHONE,
    TYPED_PHONE,
    Response,
    Visitor,
    address_of_step,
    html_of,
    last_code,
    location_of,
    state_in,
    with_and_without_htmx,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cheap_challenges")]

AGAIN = "/challenge/"
WAIT, WAITED = "/challenge/wait/", "/challenge/waited/"


def led_to(response: Response) -> str:
    """Return the address that a response leads to, with HTMX or without."""
    return address_of_step(response.get("HX-Push-Url") or location_of(response))


def without_token(form: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in form.items() if name != "csrfmiddlewaretoken"}


# Every step ---------------------------------------------------------------------------------------


@with_and_without_htmx
def test_a_code_past_the_limit_of_its_phone_signs_in_after_a_challenge(
    *, htmx: bool, settings: Settings
) -> None:
    account = make_account(phone=PHONE)
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    digits = last_code(account).digits()
    settings.LIMIT_PHONE = 1
    refused = visitor.send("code", code=digits)
    assert refused.status_code == 429
    assert "This number was tried many times" in html_of(refused)
    ticket = solve_and_follow(visitor.browser, refused)
    assert "/ticket/" in led_to(ticket)
    assert GuestRequest.objects.get().account == account


@with_and_without_htmx
def test_a_phone_past_the_limit_of_its_address_continues_after_a_challenge(
    *, htmx: bool, settings: Settings
) -> None:
    settings.LIMIT_IP = 1
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.look()
    refused = visitor.give_phone()
    assert "A lot is coming from here" in html_of(refused)
    assert led_to(solve_and_follow(visitor.browser, refused)) == visitor.step_url("register")


@with_and_without_htmx
def test_a_registration_past_the_limit_creates_its_guest_after_a_challenge(
    *, htmx: bool, settings: Settings
) -> None:
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    visitor.hidden_fields("register")
    settings.LIMIT_PHONE = 1
    refused = visitor.register(last_name="O'Neill")
    assert refused.status_code == 429
    assert not User.objects.exists()
    assert "/ticket/" in led_to(solve_and_follow(visitor.browser, refused))
    assert User.objects.get().last_name == "O'Neill"
    assert GuestRequest.objects.get().phone == PHONE


@with_and_without_htmx
def test_one_tap_past_the_limit_is_a_request_after_a_challenge(
    *, htmx: bool, settings: Settings
) -> None:
    settings.LIMIT_IP = 1
    account = make_account()
    visitor = Visitor(make_event(), htmx=htmx).signed_in(account)
    visitor.get("/promo/")
    refused = visitor.send("request")
    assert "/ticket/" in led_to(solve_and_follow(visitor.browser, refused))
    assert GuestRequest.objects.get().account == account


@with_and_without_htmx
def test_another_code_past_the_budget_of_strangers_is_sent_after_a_challenge(
    *, htmx: bool, settings: Settings
) -> None:
    account = make_account(phone=PHONE)
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    strangers_ask(5)
    before = last_code(account)
    refused = visitor.send("code", resend="1")
    assert refused.status_code == 429
    assert led_to(solve_and_follow(visitor.browser, refused)) == visitor.step_url("code")
    assert last_code(account) != before


@with_and_without_htmx
def test_a_proof_past_the_budget_of_the_network_is_sent_after_a_challenge(
    *, htmx: bool, settings: Settings
) -> None:
    settings.LOGIN_CODES_PER_ADDRESS = 1
    Visitor(make_event()).give_phone(make_account().phone or "")
    account = make_account(phone=PHONE)
    visitor = Visitor(make_event(requires_proof=True), htmx=htmx).signed_in(account)
    visitor.open("prove")
    refused = visitor.send("prove")
    assert refused.status_code == 429
    assert led_to(solve_and_follow(visitor.browser, refused)) == visitor.step_url("code")
    assert last_code(account)


# Once ---------------------------------------------------------------------------------------------


def test_a_form_is_sent_again_once(settings: Settings) -> None:
    settings.LIMIT_PHONE = settings.LIMIT_SOLVED = 1
    visitor = Visitor(make_event())
    visitor.give_phone()
    refused = visitor.give_phone()
    form = hidden_in(refused)
    solved = solve_shown(visitor.browser, refused)
    assert follow(visitor.browser, solved, form).status_code == 303
    shown, challenges = follow(visitor.browser, solved, form), 0
    while "data-challenge" in html_of(shown):
        shown, challenges = solve_and_follow(visitor.browser, shown), challenges + 1
        assert challenges <= 2, "the page would solve challenges for ever"
    assert shown.status_code == 429
    assert WAIT not in html_of(shown)
    assert f'data-countdown="{shown["Retry-After"]}"' in html_of(shown)


def test_a_second_limit_asks_for_its_own_challenge(settings: Settings) -> None:
    settings.LIMIT_PHONE, settings.LIMIT_IP = 1, 4
    visitor = Visitor(make_event())
    visitor.give_phone()
    refused = visitor.give_phone()
    form, solved = hidden_in(refused), solve_shown(visitor.browser, refused)
    settings.LIMIT_PHONE = 100
    for _ in range(4):
        Visitor(visitor.event).look()
    visitor.browser.cookies.clear()
    again = follow(visitor.browser, solved, form)
    assert hidden_in(again)["for"] == "address"
    assert html_of(again).count('name="solved" value="phone"') == 2
    assert led_to(solve_and_follow(visitor.browser, again)) == visitor.step_url("register")


def test_a_wrong_solution_keeps_the_form(settings: Settings) -> None:
    settings.LIMIT_PHONE = 1
    visitor = Visitor(make_event())
    visitor.give_phone()
    form = hidden_in(visitor.give_phone())
    again = visitor.browser.post(AGAIN, form | {"altcha": "wrong"})
    assert again.status_code == 422
    assert without_token(hidden_in(again)) == without_token(form)
    assert led_to(solve_and_follow(visitor.browser, again)) == visitor.step_url("register")


# Without JavaScript -------------------------------------------------------------------------------


def test_the_waiting_page_keeps_the_form(settings: Settings) -> None:
    settings.LIMIT_PHONE = 1
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.hidden_fields("register")
    refused = visitor.register()
    waiting = visitor.browser.post(WAIT, hidden_in(refused, WAIT))
    assert "http-equiv" not in html_of(waiting)
    form = hidden_in(waiting, WAITED)
    assert form["email"] == PERSON["email"]
    assert html_of(waiting).split("<main")[1].split("</main>")[0].count("<button") == 1
    early = visitor.browser.post(WAITED, form)
    assert early.status_code == 200
    assert re.search(r"Wait 2[3-5] seconds", html_of(early)), "the rest of the wait"
    assert without_token(hidden_in(early, WAITED)) == without_token(form)
    assert not User.objects.exists()
    settings.CHALLENGE_WAIT = 0
    response = follow(visitor.browser, visitor.browser.post(WAITED, form), form)
    assert "/ticket/" in led_to(response)
    assert Guest.objects.get().phone == PHONE
    assert visitor.browser.post(WAITED, form).status_code == 422, "a wait counts once"


def test_the_form_is_kept_when_too_many_visitors_wait(settings: Settings) -> None:
    settings.LIMIT_PHONE, settings.LIMIT_WAITING = 1, 1
    visitor = Visitor(make_event())
    visitor.give_phone()
    refused = visitor.register()
    Visitor(visitor.event).browser.post(WAIT)
    crowded = visitor.browser.post(WAIT, hidden_in(refused, WAIT))
    assert crowded.status_code == 429
    assert without_token(hidden_in(crowded, WAIT)) == without_token(hidden_in(refused, WAIT))


# Forms of other sites -----------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["phone", "request", "code", "register"])
def test_a_form_of_another_site_is_not_sent_again(step: str, settings: Settings) -> None:
    """An attacker's page sends forms until a limit is met. Our page must not send them again."""
    settings.LIMIT_IP = 1
    victim = Visitor(make_event(), checks_csrf=True).signed_in(make_account())
    victim.get("/promo/")
    fields = {"phone": TYPED_PHONE, "country": "PT", "code": "123456"} | PERSON
    for headers in ({"origin": "https://evil.example"}, {}):
        refused = victim.browser.post(victim.step_url(step), fields, headers=headers)
        assert refused.status_code == 429
        assert TYPED_PHONE not in html_of(refused)
        assert PERSON["email"] not in html_of(refused)
        assert 'name="solved"' not in html_of(refused)


@pytest.mark.parametrize(
    "next_",
    ["/admin/", "/sign-out/", "/i18n/setlang/", "/promo/", "https://evil.example/promo/x/-/phone/"],
)
def test_a_form_is_sent_again_only_to_a_step(next_: str, settings: Settings) -> None:
    settings.LIMIT_PHONE = 1
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = solve_shown(visitor.browser, visitor.give_phone(), next=next_)
    assert response.status_code == 303
    assert "evil" not in response["Location"]


def test_a_carried_form_is_escaped_and_in_no_address_or_log(
    settings: Settings, caplog: Any
) -> None:
    settings.LIMIT_IP = 1
    caplog.set_level(logging.DEBUG)
    visitor = Visitor(make_event())
    visitor.look()
    markup = '"><script>alert(1)</script>'
    refused = visitor.browser.post(visitor.step_url("phone"), {"phone": markup, markup: "x"})
    assert markup.encode() not in refused.content
    assert escape(markup) in refused.content.decode()
    refused = visitor.give_phone()
    response = solve_shown(visitor.browser, refused)
    assert "961" not in response["Location"]
    waiting = visitor.browser.post(WAIT, hidden_in(refused, WAIT))
    assert "961" not in "".join(re.findall(r'(?:href|action|content)="([^"]*)"', html_of(waiting)))
    assert "961" not in caplog.text


@pytest.mark.parametrize("fields", [{f"f{n}": "x" for n in range(50)}, {"phone": "9" * 100_000}])
def test_a_large_form_does_not_make_the_page_large(
    fields: dict[str, str], settings: Settings
) -> None:
    settings.LIMIT_IP = 1
    visitor = Visitor(make_event())
    visitor.look()
    refused = visitor.browser.post(visitor.step_url("phone"), fields)
    assert refused.status_code == 429
    assert len(refused.content) < 10_000


def test_a_reloaded_page_carries_no_form(settings: Settings) -> None:
    settings.LIMIT_IP = 1
    visitor = Visitor(make_event())
    visitor.look()
    refused = visitor.open("phone")
    assert 'name="solved"' not in html_of(refused)
    assert location_of(solve_shown(visitor.browser, refused)) == visitor.step_url("phone")
    assert state_in(Client().get(visitor.event_url)) == ""
