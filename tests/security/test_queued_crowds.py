"""Many pages behind one address that wait for a queued ticket, and their neighbour."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import close_old_connections
from django.test import Client
from pytest_django import Settings

from guests.models import Event
from snap.local_cache import clear_local_caches
from snap.resilience.database import breaker
from tests.factories import make_event, make_event_promoter
from tests.helpers import servers
from tests.helpers.visitors import PERSON, Visitor, html_of

pytestmark = pytest.mark.skipif(
    "servers.postgresql is None or servers.valkey is None",
    reason="only servers that the tests started may be stopped",
)

CARRIER = "198.51.100.1"


@pytest.fixture
def event(transactional_db: None, tmp_path: Any, settings: Settings) -> Iterator[Event]:
    """An event that was seen before the database went away, with the limit of an installation."""
    assert servers.postgresql is not None
    settings.JOURNAL_PATH = tmp_path / "journal.sqlite3"
    settings.LIMIT_IP = 100
    clear_local_caches()
    event = make_event()
    make_event_promoter(event)
    assert Client().get(f"/promo/{event.slug}/").status_code == 200
    servers.postgresql.stop("immediate")
    yield event
    servers.postgresql.start()
    close_old_connections()
    breaker.succeeded()
    servers.freshen()


def queued(event: Event, number: int) -> tuple[Client, str]:
    """Register from an address of one's own, then move behind the carrier's with the ticket."""
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


@pytest.mark.parametrize("place", [page_of, api_of])
def test_pages_that_wait_in_an_outage_leave_the_address_to_others(
    event: Event, place: Callable[[str], str]
) -> None:
    waiting = [queued(event, number) for number in range(130)]
    polls = [browser.get(place(url)).status_code for browser, url in waiting]
    assert polls == [200] * 130
    assert Client(REMOTE_ADDR=CARRIER).get(f"/promo/{event.slug}/").status_code == 200


def test_one_browser_polls_no_more_than_its_own_budget(event: Event) -> None:
    browser, url = queued(event, 1)
    polls = [browser.get(url).status_code for _ in range(110)]
    assert polls == [200] * 100 + [429] * 10
    assert Client(REMOTE_ADDR=CARRIER).get(f"/promo/{event.slug}/").status_code == 200


def test_a_ticket_gives_a_budget_for_itself_only(event: Event) -> None:
    """Whoever has one ticket asks for others, and for pages, at the cost of the address."""
    browser, url = queued(event, 1)
    others = url.rstrip("/").rpartition("/")[0]
    answers = [browser.get(f"{others}/{uuid4()}/").status_code for _ in range(101)]
    assert answers[-1] == 429
    assert browser.get(f"/promo/{event.slug}/").status_code == 429
    assert browser.get(url).status_code == 200
