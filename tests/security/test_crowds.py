"""A thousand guests behind one address get their places, with the limits of production.

The default is 60 guests, which is past every limit of an address. With `--long` it is a thousand.
"""

import time
from random import Random

import pytest
from django.test import Client
from pytest_django import Settings

from guests.models import Event, GuestRequest
from tests.factories import make_event
from tests.helpers.challenges import solve
from tests.helpers.visitors import Response, Visitor, location_of, state_in

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

ADDRESS = "198.51.100.1"


@pytest.fixture(autouse=True)
def _as_in_production(settings: Settings) -> None:
    settings.LIMIT_IP, settings.LIMIT_PHONE, settings.LIMIT_VENUE = 100, 5, 6000
    settings.LIMIT_SOLVED, settings.LIMIT_CHALLENGES = 100, 3000
    settings.LIMIT_ROUTES = {"phone_check": 10, "guest_create": 3, "promo_pages": 30, "emails": 5}
    settings.LIMIT_PHONES_BROWSER, settings.LIMIT_PHONES_ADDRESS = 5, 1500
    settings.LIMIT_PHONES_NEAR, settings.LIMIT_PHONES_BLOCK = 20, 60
    settings.ACCOUNTS_PER_EMAIL, settings.EMAILS_PER_RECIPIENT = 3, 10
    # The challenges of all guests are solved on this machine.
    settings.CHALLENGE_COST = 1


@pytest.fixture
def crowd(request: pytest.FixtureRequest) -> list[str]:
    """Random phones in the blocks of three operators."""
    dice = Random(13)
    size = 1000 if request.config.getoption("--long") else 60
    numbers = dice.sample(range(10**7), size)
    return [f"9{dice.choice('136')}{number:07}" for number in numbers]


class Person(Visitor):
    """A visitor whose browser solves every challenge."""

    challenges = 0

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.browser = Client(REMOTE_ADDR=ADDRESS, headers={"accept-language": "en"})

    def act(self, name: str, *args: str, **fields: str) -> Response:
        response: Response = getattr(self, name)(*args, **fields)
        if response.status_code == 429:
            assert b"data-challenge=" in response.content, "every refusal has a challenge"
            solve(self.browser)
            Person.challenges += 1
            response = getattr(self, name)(*args, **fields)
        return response


def go_through(event: Event, crowd: list[str]) -> None:
    Person.challenges, begun = 0, time.monotonic()
    for number, phone in enumerate(crowd):
        person = Person(event)
        assert person.act("look").status_code == 200
        if number % 20 == 0:
            assert person.act("give_phone", "12").status_code == 422, "some mistype it"
        location_of(person.act("give_phone", phone))
        assert person.act("open", "register").status_code == 200
        ticket = location_of(person.act("register", email=f"ines{number}@example.com"))
        assert state_in(person.act("get", ticket))
    took = time.monotonic() - begun
    print(f"{len(crowd)} people in {took:.1f} s, {Person.challenges} challenges")
    assert GuestRequest.objects.count() == len(crowd)


@pytest.mark.slow
def test_a_thousand_guests_on_one_venues_wifi_get_through(crowd: list[str]) -> None:
    go_through(make_event(capacity=1000, venue_networks="198.51.100.0/24"), crowd)
    assert Person.challenges == 0


@pytest.mark.slow
def test_a_thousand_guests_behind_an_unknown_carrier_get_through(
    crowd: list[str],
) -> None:
    go_through(make_event(capacity=1000), crowd)
    assert 0 < Person.challenges <= len(crowd), "at most one challenge for each guest"
