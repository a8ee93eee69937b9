"""Limits while staff have turned the challenge off: they refuse as if there were none."""

import pytest
from django.test import Client
from pytest_django import Settings

from tests.factories import make_account, make_event
from tests.helpers.api import CHECK, LOGIN, post_json
from tests.helpers.challenges import challenge_for, has_challenge, hidden_in, solution_of, solve
from tests.helpers.codes import strangers_ask
from tests.helpers.switches import turn_off, turn_on
from tests.helpers.visitors import PHONE, Visitor, html_of, with_and_without_htmx

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cheap_challenges")]


def refused_page(settings: Settings) -> Visitor:
    """Return a visitor whose next page is refused."""
    settings.LIMIT_IP = 1
    visitor = Visitor(make_event())
    visitor.look()
    return visitor


def test_a_refused_page_offers_a_challenge_only_while_it_is_on(settings: Settings) -> None:
    visitor = refused_page(settings)
    assert has_challenge(visitor.look())
    turn_off("challenge")
    refused = visitor.look()
    assert (refused.status_code, has_challenge(refused)) == (429, False)
    assert int(refused["Retry-After"]) > 0
    page = html_of(refused)
    assert "You can try again in" in page
    assert "Or try again in" not in page
    assert "Wait in line instead" not in page
    turn_on("challenge")
    assert has_challenge(visitor.look())


@with_and_without_htmx
def test_a_refused_form_offers_no_challenge_while_it_is_off(htmx: bool, settings: Settings) -> None:
    settings.LIMIT_PHONE = 1
    make_account(phone=PHONE)
    turn_off("challenge")
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    refused = visitor.send("code", code="123456")
    assert (refused.status_code, has_challenge(refused)) == (429, False)


def test_a_refused_call_names_a_challenge_only_while_it_is_on(
    client: Client, settings: Settings
) -> None:
    settings.LIMIT_IP = 1
    post_json(client, CHECK, {"phone": PHONE})
    assert post_json(client, CHECK, {"phone": PHONE}).json()["challengeUrl"]
    turn_off("challenge")
    refused = post_json(client, CHECK, {"phone": PHONE})
    assert refused.status_code == 429
    assert "challengeUrl" not in refused.json()
    assert refused.json()["retryAfter"] > 0


def test_an_exemption_counts_only_while_the_challenge_is_on(settings: Settings) -> None:
    visitor = refused_page(settings)
    assert visitor.look().status_code == 429
    solve(visitor.browser)
    assert visitor.look().status_code == 200
    turn_off("challenge")
    assert visitor.look().status_code == 429
    turn_on("challenge")
    assert visitor.look().status_code == 200


def test_the_pages_of_the_challenge_say_when_to_try_again(settings: Settings) -> None:
    visitor = refused_page(settings)
    form = hidden_in(visitor.look())
    solution = solution_of(challenge_for(visitor.browser))
    turn_off("challenge")
    browser = visitor.browser
    for response in (
        browser.get("/challenge/"),
        browser.get("/challenge/new"),
        browser.post("/challenge/", form | {"altcha": solution}),
        browser.post("/challenge/wait/", form),
        browser.post("/challenge/waited/", form),
        browser.get("/challenge/waited/"),
    ):
        assert (response.status_code, has_challenge(response)) == (429, False)
        assert response["Retry-After"] == "60"
    assert visitor.look().status_code == 429


def test_many_codes_lead_to_a_challenge_only_while_it_is_on(client: Client) -> None:
    make_account(phone=PHONE)
    visitor = Visitor(make_event())
    visitor.give_phone()
    strangers_ask(5)
    assert has_challenge(visitor.send("code", resend="1"))
    turn_off("challenge")
    refused = visitor.send("code", resend="1")
    assert (refused.status_code, has_challenge(refused)) == (429, False)
    assert "You can try again in" in html_of(refused)
    called = post_json(client, LOGIN, {"phone": PHONE})
    assert called.status_code == 429
    assert "challengeUrl" not in called.json()
    turn_on("challenge")
    assert post_json(client, LOGIN, {"phone": PHONE}).json()["challengeUrl"]
