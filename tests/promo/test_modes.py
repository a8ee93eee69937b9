"""What visitors see while a mode is on: direct creation, and what they are told stays true."""

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from guests.models import Event, Guest, GuestRequest
from notifications.kinds import is_late
from snap.control.modes import EMERGENCY, QUEUE
from tests.factories import make_account, make_event
from tests.helpers.api import CREATE_ASYNC
from tests.helpers.load import mode_on
from tests.helpers.sessions import session_of
from tests.helpers.visitors import Visitor, html_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> Event:
    return make_event(slug="festa")


@pytest.fixture
def guest(client: Client) -> Client:
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(make_account())
    return client


def ask_by_api(guest: Client, event: Event) -> tuple[int, dict[str, object]]:
    response = guest.post(CREATE_ASYNC, {"event_id": event.pk}, content_type="application/json")
    return response.status_code, response.json()


def ask_by_page(guest: Client) -> str:
    response = guest.post("/promo/festa/-/request/", headers={"HX-Request": "true"})
    return response.content.decode()


def test_in_emergency_mode_the_api_responds_with_the_qr_code(guest: Client, event: Event) -> None:
    with mode_on(EMERGENCY):
        status, body = ask_by_api(guest, event)
    assert status == 200
    assert "qr_code_url" in body["data"]  # type: ignore[operator]


@pytest.mark.parametrize("modes", [(), (QUEUE,)])
def test_else_the_api_responds_with_a_ticket(
    guest: Client, event: Event, modes: tuple[str, ...]
) -> None:
    with mode_on(*modes):
        status, body = ask_by_api(guest, event)
    assert status == 202
    assert body["estimated_time"] == (5 if modes else 1)
    assert GuestRequest.objects.get().state == "pending"


def test_in_emergency_mode_the_page_shows_the_qr_code(guest: Client, event: Event) -> None:
    with mode_on(EMERGENCY):
        page = ask_by_page(guest)
    assert 'data-state="created"' in page
    assert Guest.objects.get().qr_token in page  # type: ignore[operator]


@pytest.mark.parametrize("modes", [(), (QUEUE,)])
def test_else_the_page_shows_that_it_takes_a_moment(
    guest: Client, event: Event, modes: tuple[str, ...]
) -> None:
    with mode_on(*modes):
        assert 'data-state="processing"' in ask_by_page(guest)


def test_while_all_threads_create_guests_the_rest_get_a_ticket(
    guest: Client, event: Event, all_threads_wait: None
) -> None:
    with mode_on(EMERGENCY):
        status, body = ask_by_api(guest, event)
    assert status == 202
    assert body["estimated_time"] == 5


def test_in_both_modes_the_guest_is_created_directly(guest: Client, event: Event) -> None:
    with mode_on(EMERGENCY, QUEUE):
        assert ask_by_api(guest, event)[0] == 200


def test_those_in_line_get_their_position(client: Client, event: Event) -> None:
    """Direct creation overtakes nobody."""
    Event.objects.update(limit_per_minute=2)
    with mode_on(EMERGENCY):
        for expected in (200, 202):
            client.cookies[settings.SESSION_COOKIE_NAME] = session_of(make_account())
            status, body = ask_by_api(client, event)
            assert status == expected
    assert body["position"] == 1


@pytest.mark.parametrize("modes", [(EMERGENCY,), (QUEUE,), (EMERGENCY, QUEUE)])
def test_the_modes_cost_no_query(guest: Client, event: Event, modes: tuple[str, ...]) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            guest.get("/promo/festa/")
        return len(asked)

    queries()
    usual = queries()
    with mode_on(*modes):
        assert queries() == usual


def test_while_emails_wait_no_page_says_that_one_is_on_its_way() -> None:
    visitor = Visitor(make_event(), htmx=True)
    visitor.give_phone()
    with mode_on(EMERGENCY):
        page = html_of(visitor.register())
    assert "qr/" in page
    assert "on its way" not in page
    assert "Our emails rest for now." in page


def test_in_emergency_mode_codes_are_promised(client: Client) -> None:
    with mode_on(EMERGENCY):
        assert not is_late("login_code")
        assert is_late("qr_code")
        assert is_late("a_kind_of_another_release")
    assert not is_late("qr_code")
