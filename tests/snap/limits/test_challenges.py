"""Challenges: a solution is valid once, for one browser and one purpose."""

from base64 import b64decode, b64encode
from json import dumps, loads

import pytest
from django.test import Client
from pytest_django import Settings

from tests.helpers.challenges import challenge_for, solution_of, solve

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cheap_challenges")]


def send_solution(browser: Client, solution: str, purpose: str = "address") -> int:
    data = {"altcha": solution, "for": purpose, "next": "/promo/"}
    return browser.post("/challenge/", data).status_code


def test_a_solution_counts_once() -> None:
    browser = Client()
    solution = solution_of(challenge_for(browser))
    assert send_solution(browser, solution) == 303
    assert send_solution(browser, solution) == 422


def test_a_solution_is_valid_for_its_browser_only() -> None:
    browser, other = Client(), Client()
    challenge_for(other)
    solution = solution_of(challenge_for(browser))
    assert send_solution(other, solution) == 422
    assert send_solution(browser, solution) == 303


def test_a_solution_is_valid_for_its_purpose_only() -> None:
    browser = Client()
    assert send_solution(browser, solution_of(challenge_for(browser, "phone"))) == 422


def test_a_solution_expires(settings: Settings) -> None:
    settings.CHALLENGE_AGE = -1
    browser = Client()
    assert send_solution(browser, solution_of(challenge_for(browser))) == 422


@pytest.mark.parametrize("what", ["nonce", "keyPrefix", "expiresAt", "cost"])
def test_a_changed_challenge_is_refused(what: str) -> None:
    browser = Client()
    challenge = challenge_for(browser)
    changed = {"nonce": "00" * 16, "keyPrefix": "", "expiresAt": 9_999_999_999, "cost": 2}
    challenge["parameters"][what] = changed[what]
    assert send_solution(browser, solution_of(challenge)) == 422


def test_a_wrong_key_is_refused() -> None:
    browser = Client()
    whole = loads(b64decode(solution_of(challenge_for(browser))))
    whole["solution"]["counter"] += 1
    assert send_solution(browser, b64encode(dumps(whole).encode()).decode()) == 422


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "x",
        "AAAA",
        b64encode(b"null").decode(),
        b64encode(b"[]").decode(),
        b64encode(b'{"challenge": 3}').decode(),
        b64encode(b'{"challenge": {"parameters": {"data": null}, "signature": null}}').decode(),
        b64encode(b"[" * 2000).decode(),
        "A" * 100_000,
    ],
)
def test_a_malformed_solution_is_refused(malformed: str) -> None:
    assert send_solution(Client(), malformed) == 422


def test_challenges_themselves_are_limited(settings: Settings) -> None:
    settings.LIMIT_CHALLENGES, settings.LIMIT_CHALLENGES_BROWSER = 3, 2
    browser = Client()
    # The first request has no browser id yet.
    assert [browser.get("/challenge/new").status_code for _ in range(4)] == [200] * 3 + [429]
    without_cookies = [Client().get("/challenge/new").status_code for _ in range(3)]
    assert without_cookies == [200, 200, 429]


def test_one_client_does_not_block_pages_for_its_neighbours(settings: Settings) -> None:
    settings.LIMIT_IP, settings.LIMIT_CHALLENGES = 3, 5
    settings.LIMIT_CHALLENGES_BROWSER = 5
    attacker, neighbour = Client(), Client()
    for _ in range(12):
        attacker.get("/challenge/new?for=address")
        Client().get("/challenge/new?for=address")
        attacker.get("/promo/")
    assert Client().get("/challenge/new").status_code == 429
    page = neighbour.get("/promo/")
    assert page.status_code == 429
    assert solve(neighbour).status_code == 303
    assert neighbour.get("/promo/").status_code == 200


def test_one_browser_does_not_keep_its_neighbours_from_waiting(settings: Settings) -> None:
    settings.LIMIT_IP, settings.LIMIT_WAITING = 1, 5
    attacker, neighbour = Client(), Client()
    for browser in (attacker, neighbour):
        for _ in range(2):
            browser.get("/promo/")
    waits = [attacker.post("/challenge/wait/").status_code for _ in range(9)]
    assert waits == [200] * 2 + [429] * 7
    assert neighbour.post("/challenge/wait/").status_code == 200


def test_a_shared_session_shares_its_budget(settings: Settings) -> None:
    settings.LIMIT_IP, settings.LIMIT_SOLVED = 1, 4
    browser = Client()
    browser.get("/promo/")
    solve(browser)
    copies = [Client(REMOTE_ADDR=f"192.0.2.{number}") for number in range(4)]
    statuses = []
    for copy in copies:
        copy.cookies["session"] = browser.cookies["session"].value
        statuses += [copy.get("/promo/").status_code for _ in range(3)]
    # The first page of each address, and then the budget that all share.
    assert statuses.count(200) == 4 + 4
