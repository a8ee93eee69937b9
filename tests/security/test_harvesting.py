"""Attackers who ask for many phones to learn which have an account, on every surface."""

import time
from contextlib import suppress
from random import Random

import pytest
from django.conf import settings as config
from django.test import Client
from pytest_django import Settings
from redis import Redis

from tests.factories import make_account, make_event
from tests.helpers.api import CHECK, LOGIN, REGISTER
from tests.helpers.challenges import solve
from tests.helpers.own_servers import own_valkey
from tests.helpers.visitors import Response, Visitor

pytestmark = pytest.mark.django_db

PERSON = {"firstName": "Rui", "lastName": "Exemplo", "email": "rui@example.com"}


@pytest.fixture(autouse=True)
def _as_in_production(settings: Settings) -> None:
    settings.LIMIT_IP, settings.LIMIT_PHONE, settings.LIMIT_SOLVED = 100, 5, 100
    settings.LIMIT_PHONES_BROWSER, settings.LIMIT_PHONES_ADDRESS = 5, 1500
    settings.LIMIT_PHONES_NEAR, settings.LIMIT_PHONES_BLOCK = 20, 60
    settings.LIMIT_ROUTES = {"phone_check": 10, "guest_create": 3, "promo_pages": 30, "emails": 5}
    settings.CHALLENGE_COST = 1


def post(browser: Client, path: str, **body: str) -> Response:
    return browser.post(path, body, content_type="application/json")


def reveals(response: Response) -> bool:
    """Say whether a response reveals if a phone has an account."""
    return response.status_code in {200, 201, 202, 303, 404, 409}


def in_a_row(number: int) -> str:
    return f"+351961000{number:03}"


def at_random(number: int) -> str:
    return f"+3519{Random(number).choice('1236')}{Random(number).randrange(10**7):07}"


class Robot:
    """A client that solves every challenge, and drops its cookies when that helps."""

    def __init__(self, address: str = "203.0.113.1") -> None:
        self.address = address
        self.browser = self.fresh()

    def fresh(self) -> Client:
        return Client(REMOTE_ADDR=self.address)

    def check(self, phone: str) -> bool:
        for browser in (self.browser, self.fresh()):
            for purpose in ("", "phone", "address"):
                if purpose:
                    # Past the limit of challenges the response is a page, and no JSON.
                    with suppress(ValueError):
                        solve(browser, purpose)
                if reveals(post(browser, CHECK, phone=phone)):
                    self.browser = browser
                    return True
        return False


@pytest.mark.slow
def test_one_address_learns_twenty_neighbouring_numbers() -> None:
    robot = Robot()
    revealed = sum(robot.check(in_a_row(number)) for number in range(100))
    assert revealed == 20


@pytest.mark.slow
def test_all_addresses_learn_sixty_numbers_of_a_block() -> None:
    robots = [Robot(f"203.0.113.{number}") for number in range(10)]
    revealed = sum(robots[number % 10].check(in_a_row(number)) for number in range(100))
    assert revealed == 60


def test_one_address_cannot_use_up_the_limit_of_a_block() -> None:
    robot = Robot()
    for number in range(40):
        robot.check(in_a_row(number))
    owner = Visitor(make_event())
    assert owner.give_phone(in_a_row(999)).status_code == 303


def test_a_browser_learns_five_random_numbers() -> None:
    browser = Client()
    browser.get("/challenge/new")
    revealed = [reveals(post(browser, CHECK, phone=at_random(number))) for number in range(8)]
    solve(browser, "address")
    solve(browser, "phone")
    revealed += [reveals(post(browser, CHECK, phone=at_random(number))) for number in range(8, 12)]
    assert revealed == [True] * 5 + [False] * 7
    again = post(browser, CHECK, phone=at_random(0))
    assert reveals(again), "a phone that the browser has asked for counts once"


def test_an_address_learns_a_limited_number_of_random_numbers(settings: Settings) -> None:
    settings.LIMIT_PHONES_ADDRESS = 30
    robot = Robot()
    assert sum(robot.check(at_random(number)) for number in range(40)) == 30
    assert Robot("203.0.113.2").check(at_random(41))


def test_every_way_to_ask_counts_in_the_same_limits(settings: Settings) -> None:
    settings.LIMIT_PHONES_NEAR = 4
    event = make_event()
    make_account(phone=in_a_row(2))
    make_account(phone=in_a_row(4))
    assert reveals(Visitor(event).give_phone(in_a_row(1)))
    assert reveals(post(Client(), CHECK, phone=in_a_row(2)))
    assert reveals(post(Client(), LOGIN, phone=in_a_row(3)))
    assert reveals(post(Client(), REGISTER, phone=in_a_row(4), **PERSON))
    refused = [
        Visitor(event).give_phone(in_a_row(5)),
        post(Client(), CHECK, phone=in_a_row(5)),
        post(Client(), LOGIN, phone=in_a_row(5)),
        post(Client(), REGISTER, phone=in_a_row(5), **PERSON),
    ]
    assert [response.status_code for response in refused] == [429] * 4


def test_a_refusal_offers_no_challenge_that_would_not_help(settings: Settings) -> None:
    settings.LIMIT_PHONES_NEAR = 1
    visitor = Visitor(make_event())
    visitor.give_phone(in_a_row(1))
    page = visitor.give_phone(in_a_row(2))
    assert page.status_code == 429
    assert b"data-challenge=" not in page.content
    assert 0 < int(page["Retry-After"]) <= 600
    assert "near" not in page["RateLimit-Policy"]
    call = post(Client(), CHECK, phone=in_a_row(3))
    assert "challengeUrl" not in call.json()


def test_the_limits_do_not_apply_to_the_owner_of_a_phone(settings: Settings) -> None:
    account = make_account()
    browser = Client()
    post(browser, REGISTER, phone="+351961234567", **PERSON)
    settings.LIMIT_PHONES_BROWSER = settings.LIMIT_PHONES_BLOCK = 0
    assert post(browser, CHECK, phone="+351961234567").status_code == 200
    assert post(browser, CHECK, phone=account.phone or "").status_code == 429


def test_strangers_do_not_limit_a_browser_that_the_owner_has_used() -> None:
    """Strangers use up the limit of the block of numbers that has the owner's phone."""
    owner = make_account(phone=in_a_row(999))
    browser = Client(REMOTE_ADDR="198.51.100.7")
    assert post(browser, REGISTER, **PERSON, phone=in_a_row(998)).status_code == 201
    browser.post("/sign-out/")
    for address in range(3):
        stranger = Client(REMOTE_ADDR=f"203.0.113.{address}")
        for number in range(20):
            stranger.cookies.clear()
            post(stranger, CHECK, phone=in_a_row(address * 20 + number))
    assert post(browser, CHECK, phone=in_a_row(998)).status_code == 200
    assert post(browser, CHECK, phone=owner.phone or "").status_code == 429


def test_the_window_of_a_limit_ends(settings: Settings) -> None:
    settings.LIMIT_PHONES_NEAR, settings.LIMIT_PHONES_WINDOW = 1, 1
    assert Robot().check(in_a_row(1))
    assert not Robot().check(in_a_row(2))
    time.sleep(1.1)
    assert Robot().check(in_a_row(2))


def test_stored_phones_are_hashed_bounded_and_expire() -> None:
    robot = Robot()
    for number in range(30):
        robot.check(in_a_row(number))
    with Redis.from_url(config.LIMITS_URL) as store:
        keys = list(store.scan_iter("distinct:*"))
        assert keys
        assert all(0 < store.ttl(key) <= 600 for key in keys)
        assert max(store.scard(key) for key in keys) <= 20
        assert not any(b"961000" in member for key in keys for member in store.smembers(key))


def test_without_the_store_each_process_counts_for_itself() -> None:
    own_valkey().stop()
    revealed = [reveals(post(Client(), CHECK, phone=in_a_row(number))) for number in range(25)]
    assert sum(revealed) == 20
