"""Pages and API while the broker or the database is stopped."""

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.models import Event, Guest, GuestRequest
from guests.passes.holders import link_for_holder
from guests.requests.accepting import wake_guests_worker
from guests.requests.creating import create_due_guests
from tests.factories import make_account, make_event, make_event_promoter, make_guest
from tests.helpers import servers
from tests.helpers.api import CREATE_ASYNC
from tests.helpers.outages import start_database, stop_database
from tests.helpers.own_servers import own_valkey
from tests.helpers.sessions import sign_in
from tests.helpers.stack import wait_for
from tests.helpers.visitors import signed_step

pytestmark = pytest.mark.usefixtures("stoppable_database")

PHONE = {"country": "PT", "phone": "920 999 999"}
PERSON = {"first_name": "Rui", "last_name": "Exemplo", "email": "rui@example.com"}


@pytest.fixture
def event(client: Client) -> Event:
    """An open event whose page was served before the outage."""
    event = make_event(slug="festa")
    make_event_promoter(event)
    assert client.get("/promo/festa/").status_code == 200
    return event


def test_pages_of_an_event_stay_available(client: Client, event: Event) -> None:
    stop_database()
    for path in ("/promo/", "/promo/festa/", "/promo/festa/calendar.ics"):
        response = client.get(path)
        assert response.status_code == 200
        assert event.title in response.content.decode()


def test_the_link_of_an_unknown_promoter_leads_to_the_event(client: Client, event: Event) -> None:
    stop_database()
    response = client.get("/promo/festa/nobody/")
    assert response.status_code == 200
    assert 'data-promoter-id=""' in response.content.decode()


def test_a_new_visitor_is_queued_and_gets_a_place_afterwards(client: Client, event: Event) -> None:
    stop_database()
    step = client.post("/promo/festa/-/phone/", PHONE)
    assert step.headers["Location"].startswith("/promo/festa/-/register/?s=")
    form = PERSON | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/register/", form, headers={"HX-Request": "true"})
    assert response.status_code == 202
    assert 'data-state="queued' in response.content.decode()
    ticket_url = response.headers["HX-Push-Url"]
    assert 'data-state="queued' in client.get(ticket_url).content.decode()

    start_database()
    assert 'data-state="queued' in client.get(ticket_url).content.decode()
    drain(get_journal())
    create_due_guests()
    page = client.get(ticket_url)
    assert 'data-state="created' in page.content.decode()
    assert page.wsgi_request.user == Guest.objects.get().account


@pytest.mark.slow
def test_a_registration_is_cleaned_before_it_is_journalled(client: Client, event: Event) -> None:
    stop_database()
    step = client.post("/promo/festa/-/phone/", {"country": "PT", "phone": "'+351 920\u202f999999"})
    person = {"first_name": "Madonna\u200b", "last_name": "\u3164", "email": "<m@faß.example>"}
    signed = signed_step(client.get(step.headers["Location"]))
    refused = client.post("/promo/festa/-/register/", person | signed | {"first_name": "\u200b"})
    assert refused.status_code == 422
    assert client.post("/promo/festa/-/register/", person | signed).status_code in {202, 302, 303}
    start_database()
    drain(get_journal())
    account = GuestRequest.objects.get().account
    assert (account.phone, account.name) == ("+351920999999", "Madonna")
    assert account.email == "m@xn--fa-hia.example"


def test_another_browser_sees_nothing_of_the_guest(client: Client, event: Event) -> None:
    account = make_account(phone="+351920999999")
    stop_database()
    shown = client.post("/promo/festa/-/phone/", PHONE, headers={"HX-Request": "true"})
    form = PERSON | signed_step(shown)
    response = client.post("/promo/festa/-/register/", form, headers={"HX-Request": "true"})
    ticket_url = response.headers["HX-Push-Url"]
    start_database()
    drain(get_journal())
    create_due_guests()
    page = client.get(ticket_url).content.decode()
    assert 'data-state="registered_elsewhere' in page
    assert account.last_name not in page
    assert Guest.objects.get().account == account


def test_a_signed_in_visitor_requests_a_place_with_one_tap(client: Client, event: Event) -> None:
    account = make_account()
    sign_in(client, account)
    stop_database()
    response = client.post("/promo/festa/-/request/", headers={"HX-Request": "true"})
    assert response.status_code == 202
    start_database()
    drain(get_journal())
    assert GuestRequest.objects.get().account == account


def test_the_api_responds_202_and_a_retry_gets_the_same_ticket(
    client: Client, event: Event
) -> None:
    sign_in(client, make_account())
    stop_database()
    body = {"event_id": event.pk}
    first = client.post(CREATE_ASYNC, body, content_type="application/json")
    assert first.status_code == 202
    again = client.post(CREATE_ASYNC, body, content_type="application/json")
    assert again.json()["ticketId"] == first.json()["ticketId"]
    state = client.get(f"/api/client-auth/guests/requests/{first.json()['ticketId']}")
    assert state.json() == {"success": True, "state": "queued", "data": None}


def test_without_a_session_the_api_accepts_nothing(client: Client, event: Event) -> None:
    stop_database()
    response = client.post(CREATE_ASYNC, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 401
    assert get_journal().count() == {"waiting": 0, "dead": 0}


@pytest.mark.parametrize("path", [CREATE_ASYNC, "/promo/festa/-/request/"])
def test_csrf_tokens_are_checked_in_an_outage_too(event: Event, path: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    sign_in(strict, make_account())
    stop_database()
    assert strict.post(path, {}, content_type="application/json").status_code == 403
    assert get_journal().count() == {"waiting": 0, "dead": 0}


def test_without_a_journal_the_response_is_a_503(
    client: Client, event: Event, settings: Settings
) -> None:
    sign_in(client, make_account())
    stop_database()
    settings.JOURNAL_PATH.unlink()
    settings.JOURNAL_PATH.mkdir()
    page = client.post("/promo/festa/-/request/")
    api = client.post(CREATE_ASYNC, {"event_id": event.pk}, content_type="application/json")
    assert (page.status_code, api.status_code) == (503, 503)
    assert int(page.headers["Retry-After"]) > 0
    assert api.json()["code"] == "unavailable"
    assert api.json()["retryAfter"] == int(api.headers["Retry-After"])


@pytest.mark.slow
def test_a_request_with_an_unchecked_code_belongs_to_the_account_of_the_phone(
    client: Client, event: Event
) -> None:
    account = make_account(phone="+351920999999")
    step = client.post("/promo/festa/-/phone/", PHONE)
    assert step.headers["Location"].startswith("/promo/festa/-/code/?s=")
    stop_database()
    form = {"code": "123456"} | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/code/", form, headers={"HX-Request": "true"})
    assert response.status_code == 202
    start_database()
    drain(get_journal())
    create_due_guests()
    assert Guest.objects.get().account == account
    page = client.get(response.headers["HX-Push-Url"])
    assert 'data-state="by_email' in page.content.decode()
    assert not page.wsgi_request.user.is_authenticated


def test_without_a_broker_the_response_has_the_qr_code(client: Client, event: Event) -> None:
    valkey = own_valkey()
    sign_in(client, make_account())
    valkey.stop("immediate")
    wake_workers(failing=True)
    response = client.post(CREATE_ASYNC, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 200
    assert response.json()["data"]["qr_code_url"].startswith("/media/qr/")
    servers.freshen()
    wake_workers(failing=False)
    sign_in(client, make_account())
    response = client.post(CREATE_ASYNC, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 202


def wake_workers(*, failing: bool) -> None:
    """Send a wake-up, and wait until this process knows whether wake-ups fail."""
    wake_guests_worker()
    wait_for(lambda: wake_guests_worker.is_failing() is failing)


def test_a_dead_entry_is_shown_as_failed(client: Client, event: Event, settings: Settings) -> None:
    settings.JOURNAL_ATTEMPTS = 1
    stop_database()
    step = client.post("/promo/festa/-/phone/", PHONE)
    form = {"code": "123456"} | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/code/", form, headers={"HX-Request": "true"})
    ticket_url = response.headers["HX-Push-Url"]
    start_database()
    drain(get_journal())  # No account has the phone, so the entry cannot be drained.
    assert 'data-state="failed' in client.get(ticket_url).content.decode()
    stop_database()
    assert 'data-state="failed' in client.get(ticket_url).content.decode()


def test_a_browser_that_opened_the_pass_still_sees_it(client: Client, event: Event) -> None:
    guest = make_guest(event)
    call_command("sweeper", once=True)
    client.get(link_for_holder(guest))
    stop_database()
    assert guest.name in client.get(f"/guest/{guest.qr_token}").content.decode()
    assert guest.name not in client.get("/promo/festa/").content.decode()


@pytest.mark.slow
def test_a_browser_that_registered_in_an_outage_sees_its_place_in_the_next(
    client: Client, event: Event
) -> None:
    stop_database()
    step = client.post("/promo/festa/-/phone/", PHONE)
    form = PERSON | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/register/", form, headers={"HX-Request": "true"})
    start_database()
    drain(get_journal())
    create_due_guests()
    call_command("sweeper", once=True)
    stop_database()
    page = client.get(response.headers["HX-Push-Url"]).content.decode()
    assert 'data-state="created' in page
    assert "data-state" not in Client().get("/promo/festa/").content.decode()


def test_requests_reach_the_database_again_after_an_outage(client: Client, event: Event) -> None:
    sign_in(client, make_account())
    stop_database()
    assert client.post("/promo/festa/-/request/").status_code == 303
    assert get_journal().count()["waiting"] == 1
    start_database()
    sign_in(client, make_account())
    response = client.post(CREATE_ASYNC, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 202
    assert GuestRequest.objects.count() == 1
