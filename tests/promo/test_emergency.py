"""The guest's way while the broker or the database is really away."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import close_old_connections
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.sessions import ACCOUNT_PHONE_KEY, BACKEND
from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.models import Event, Guest, GuestRequest
from guests.passes.holders import link_for_holder
from guests.requests.accepting import wake_guests_worker
from guests.requests.creating import create_due_guests
from snap.local_cache import clear_local_caches
from snap.resilience.database import breaker
from tests.factories import make_account, make_event, make_event_promoter, make_guest
from tests.helpers import servers
from tests.helpers.stack import wait_for
from tests.helpers.visitors import signed_step

pytestmark = pytest.mark.skipif(
    "servers.postgresql is None or servers.valkey is None",
    reason="only servers that the tests started may be stopped",
)

PHONE = {"country": "PT", "phone": "920 999 999"}
PERSON = {"first_name": "Rui", "last_name": "Exemplo", "email": "rui@example.com"}
CREATE = "/api/client-auth/guests/create-async"


@pytest.fixture(autouse=True)
def all_well(transactional_db: None, tmp_path: Any, settings: Settings) -> Iterator[None]:
    """Begin with a closed breaker and an empty journal, and leave a server that answers."""
    settings.JOURNAL_PATH = tmp_path / "journal.sqlite3"
    clear_local_caches()
    breaker.succeeded()
    yield
    breaker.succeeded()
    servers.freshen()
    close_old_connections()


@pytest.fixture
def event(client: Client) -> Event:
    """An open event whose page was seen while all was well."""
    event = make_event(slug="festa")
    make_event_promoter(event)
    assert client.get("/promo/festa/").status_code == 200
    return event


def take_database_away() -> None:
    assert servers.postgresql is not None
    servers.postgresql.stop("immediate")


def bring_database_back() -> None:
    assert servers.postgresql is not None
    servers.postgresql.start()
    close_old_connections()
    breaker.succeeded()


def sign_in(client: Client, account: User) -> None:
    client.force_login(account, backend=BACKEND)
    session = client.session
    session[ACCOUNT_PHONE_KEY] = account.phone
    session.save()
    client.cookies["session"] = session.session_key or ""  # Signed cookies are their own key.


def test_the_event_page_stays_up(client: Client, event: Event) -> None:
    take_database_away()
    for path in ("/promo/", "/promo/festa/", "/promo/festa/calendar.ics"):
        response = client.get(path)
        assert response.status_code == 200
        assert event.title in response.content.decode()


def test_a_promoter_who_was_not_at_the_event_is_still_not(client: Client, event: Event) -> None:
    take_database_away()
    assert client.get("/promo/festa/nobody/").status_code == 404


def test_a_stranger_registers_and_is_told_queued_and_gets_in_later(
    client: Client, event: Event
) -> None:
    take_database_away()
    step = client.post("/promo/festa/-/phone/", PHONE)
    assert step.headers["Location"].startswith("/promo/festa/-/register/?s=")
    form = PERSON | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/register/", form, headers={"HX-Request": "true"})
    assert response.status_code == 202
    assert 'data-state="queued' in response.content.decode()
    ticket_url = response.headers["HX-Push-Url"]
    assert 'data-state="queued' in client.get(ticket_url).content.decode()

    bring_database_back()
    assert 'data-state="queued' in client.get(ticket_url).content.decode()
    drain(get_journal())
    create_due_guests()
    page = client.get(ticket_url)
    assert 'data-state="created' in page.content.decode()
    assert page.wsgi_request.user == Guest.objects.get().account


def test_somebody_elses_browser_learns_nothing_of_the_guest(client: Client, event: Event) -> None:
    account = make_account(phone="+351920999999")
    take_database_away()
    shown = client.post("/promo/festa/-/phone/", PHONE, headers={"HX-Request": "true"})
    form = PERSON | signed_step(shown)
    response = client.post("/promo/festa/-/register/", form, headers={"HX-Request": "true"})
    ticket_url = response.headers["HX-Push-Url"]
    bring_database_back()
    drain(get_journal())
    create_due_guests()
    page = client.get(ticket_url).content.decode()
    assert 'data-state="registered_elsewhere' in page
    assert account.last_name not in page
    assert Guest.objects.get().account == account


def test_a_session_asks_with_one_tap(client: Client, event: Event) -> None:
    account = make_account()
    sign_in(client, account)
    take_database_away()
    response = client.post("/promo/festa/-/request/", headers={"HX-Request": "true"})
    assert response.status_code == 202
    bring_database_back()
    drain(get_journal())
    assert GuestRequest.objects.get().account == account


def test_the_api_says_202_and_a_retry_gets_the_stored_ticket(client: Client, event: Event) -> None:
    sign_in(client, make_account())
    take_database_away()
    body = {"event_id": event.pk}
    first = client.post(CREATE, body, content_type="application/json")
    assert first.status_code == 202
    again = client.post(CREATE, body, content_type="application/json")
    assert again.json()["ticketId"] == first.json()["ticketId"]
    state = client.get(f"/api/client-auth/guests/requests/{first.json()['ticketId']}")
    assert state.json() == {"success": True, "state": "queued", "data": None}


def test_without_a_session_the_api_takes_nothing(client: Client, event: Event) -> None:
    take_database_away()
    response = client.post(CREATE, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 401
    assert get_journal().count() == {"waiting": 0, "dead": 0}


@pytest.mark.parametrize("path", [CREATE, "/promo/festa/-/request/"])
def test_csrf_is_checked_in_an_emergency_too(event: Event, path: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    sign_in(strict, make_account())
    take_database_away()
    assert strict.post(path, {}, content_type="application/json").status_code == 403
    assert get_journal().count() == {"waiting": 0, "dead": 0}


def test_with_nowhere_to_write_it_is_a_503_and_nothing_was_accepted(
    client: Client, event: Event, settings: Settings
) -> None:
    sign_in(client, make_account())
    take_database_away()
    settings.JOURNAL_PATH.unlink()
    settings.JOURNAL_PATH.mkdir()
    page = client.post("/promo/festa/-/request/")
    api = client.post(CREATE, {"event_id": event.pk}, content_type="application/json")
    assert (page.status_code, api.status_code) == (503, 503)
    assert int(page.headers["Retry-After"]) > 0
    assert api.json()["code"] == "unavailable"
    assert api.json()["retryAfter"] == int(api.headers["Retry-After"])


def test_a_code_that_cannot_be_checked_leaves_the_request_to_the_phones_own_account(
    client: Client, event: Event
) -> None:
    account = make_account(phone="+351920999999")
    step = client.post("/promo/festa/-/phone/", PHONE)
    assert step.headers["Location"].startswith("/promo/festa/-/code/?s=")
    take_database_away()
    form = {"code": "123456"} | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/code/", form, headers={"HX-Request": "true"})
    assert response.status_code == 202
    bring_database_back()
    drain(get_journal())
    create_due_guests()
    assert Guest.objects.get().account == account
    page = client.get(response.headers["HX-Push-Url"])
    assert 'data-state="by_email' in page.content.decode()
    assert not page.wsgi_request.user.is_authenticated


def test_without_a_broker_the_answer_has_the_qr_code(client: Client, event: Event) -> None:
    assert servers.valkey is not None
    sign_in(client, make_account())
    servers.valkey.stop("immediate")
    wake_workers(failing=True)
    response = client.post(CREATE, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 200
    assert response.json()["data"]["qr_code_url"].startswith("/media/qr/")
    servers.freshen()
    wake_workers(failing=False)
    sign_in(client, make_account())
    response = client.post(CREATE, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 202


def wake_workers(*, failing: bool) -> None:
    """Have this process's wake-up go out, or find out that it cannot."""
    wake_guests_worker()
    wait_for(lambda: wake_guests_worker.is_failing() is failing)


def test_a_dead_entry_is_not_called_queued(
    client: Client, event: Event, settings: Settings
) -> None:
    settings.JOURNAL_ATTEMPTS = 1
    take_database_away()
    step = client.post("/promo/festa/-/phone/", PHONE)
    form = {"code": "123456"} | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/code/", form, headers={"HX-Request": "true"})
    ticket_url = response.headers["HX-Push-Url"]
    bring_database_back()
    drain(get_journal())  # Nobody has the phone, so there is no account for the request.
    assert 'data-state="failed' in client.get(ticket_url).content.decode()
    take_database_away()
    assert 'data-state="failed' in client.get(ticket_url).content.decode()


def test_a_browser_that_was_shown_the_pass_keeps_it(client: Client, event: Event) -> None:
    guest = make_guest(event)
    call_command("sweeper", once=True)
    client.get(link_for_holder(guest))
    take_database_away()
    assert guest.name in client.get(f"/guest/{guest.qr_token}").content.decode()
    assert guest.name not in client.get("/promo/festa/").content.decode()


def test_a_browser_that_registered_in_an_outage_keeps_its_place_in_the_next(
    client: Client, event: Event
) -> None:
    take_database_away()
    step = client.post("/promo/festa/-/phone/", PHONE)
    form = PERSON | signed_step(client.get(step.headers["Location"]))
    response = client.post("/promo/festa/-/register/", form, headers={"HX-Request": "true"})
    bring_database_back()
    drain(get_journal())
    create_due_guests()
    call_command("sweeper", once=True)
    take_database_away()
    page = client.get(response.headers["HX-Push-Url"]).content.decode()
    assert 'data-state="created' in page
    assert "data-state" not in Client().get("/promo/festa/").content.decode()


def test_it_is_back_by_itself(client: Client, event: Event) -> None:
    sign_in(client, make_account())
    take_database_away()
    assert client.post("/promo/festa/-/request/").status_code == 303
    assert get_journal().count()["waiting"] == 1
    bring_database_back()
    sign_in(client, make_account())
    response = client.post(CREATE, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 202
    assert GuestRequest.objects.count() == 1
