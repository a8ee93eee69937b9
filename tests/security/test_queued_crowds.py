"""Many pages behind one address that poll queued_browser tickets: other visitors can open pages."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import Settings

from guests.models import Event
from tests.factories import make_event, make_event_promoter
from tests.helpers.outages import stop_database
from tests.helpers.visitors import PERSON, Visitor, html_of

CARRIER = "198.51.100.1"


@pytest.fixture
def event(stoppable_database: None, settings: Settings) -> Event:
    """An event that this host saw before its database went away, with the usual limit."""
    settings.LIMIT_IP = 100
    event = make_event()
    make_event_promoter(event)
    assert Client().get(f"/promo/{event.slug}/").status_code == 200
    stop_database()
    return event


def queued_browser(event: Event, number: int) -> tuple[Client, str]:
    """Register at another address, then move to the carrier's address with the ticket."""
    visitor = Visitor(event, htmx=True)
    visitor.browser.defaults["REMOTE_ADDR"] = f"203.0.{number // 200}.{number % 200 + 1}"
    visitor.give_phone(f"+351963{number:06}")
    response = visitor.register(**PERSON)
    assert response.status_code == 202, html_of(response)[:500]
    visitor.browser.defaults["REMOTE_ADDR"] = CARRIER
    return visitor.browser, response["HX-Push-Url"]


def page_of(ticket_url: str) -> str:
    return ticket_url


def api_of(ticket_url: str) -> str:
    return "/api/client-auth/guests/requests/" + ticket_url.rstrip("/").rpartition("/")[2]


@pytest.mark.slow
@pytest.mark.parametrize("place", [page_of, api_of])
def test_waiting_pages_do_not_use_up_the_limit_of_their_address(
    event: Event, place: Callable[[str], str]
) -> None:
    waiting = [queued_browser(event, number) for number in range(130)]
    polls = [browser.get(place(url)).status_code for browser, url in waiting]
    assert polls == [200] * 130
    assert Client(REMOTE_ADDR=CARRIER).get(f"/promo/{event.slug}/").status_code == 200


def test_polls_of_one_browser_are_limited(event: Event) -> None:
    browser, url = queued_browser(event, 1)
    polls = [browser.get(url).status_code for _ in range(110)]
    assert polls == [200] * 100 + [429] * 10
    assert Client(REMOTE_ADDR=CARRIER).get(f"/promo/{event.slug}/").status_code == 200


@pytest.mark.slow
def test_the_budget_of_a_ticket_counts_for_that_ticket_only(event: Event) -> None:
    """Requests for other tickets and pages count for the address."""
    browser, url = queued_browser(event, 1)
    others = url.rstrip("/").rpartition("/")[0]
    responses = [browser.get(f"{others}/{uuid4()}/").status_code for _ in range(101)]
    assert responses[-1] == 429
    assert browser.get(f"/promo/{event.slug}/").status_code == 429
    assert browser.get(url).status_code == 200
