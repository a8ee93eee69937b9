"""Two browsers register one phone while the database is away: what each browser sees."""

import re

import pytest
from django.db import close_old_connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Claim, User
from guests.emergency.draining import drain
from guests.emergency.journal import get_journal
from guests.models import Event, Guest
from guests.refusals import staff_refusal_text
from guests.requests.creating import create_due_guests
from notifications.models import Email
from tests.factories import make_account, make_staff
from tests.helpers import servers
from tests.helpers.api import TICKETS
from tests.helpers.outages import (
    drain_journal,
    make_seen_event,
    start_database,
    start_database_and_drain,
    stop_database,
    stop_database_after_a_sweep,
)
from tests.helpers.places import assert_nothing_of
from tests.helpers.stack import wait_for
from tests.helpers.visitors import PHONE, Visitor, html_of, location_of, state_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stoppable_database")]
RITA = {"first_name": "Rita", "last_name": "Primeira", "email": "rita@example.com"}
OUTRA = {"first_name": "Ana", "last_name": "Segunda", "email": "ana@example.com"}


@pytest.fixture
def event() -> Event:
    return make_seen_event(slug="festa")


def ticket_id_in(url: str) -> str:
    found = re.search(r"/ticket/([0-9a-f-]{36})/", url)
    assert found, url
    return found[1]


def two_registrations(event: Event, second: dict[str, str]) -> tuple[Visitor, str, Visitor, str]:
    """Register one phone in two browsers in an outage; return both with their tickets' pages."""
    stop_database_after_a_sweep()
    first, first_page = queued_registration(event, RITA)
    other, other_page = queued_registration(event, second)
    return first, first_page, other, other_page


def queued_registration(event: Event, person: dict[str, str]) -> tuple[Visitor, str]:
    visitor = Visitor(event)
    visitor.give_phone()
    page = location_of(visitor.register(**person))
    assert state_in(visitor.get(page)) == "queued"
    return visitor, page


def test_the_second_registration_of_a_phone_is_kept_and_each_browser_sees_its_own_result(
    event: Event,
) -> None:
    first, first_page, second, second_page = two_registrations(event, OUTRA)
    assert first_page != second_page
    for visitor, page in ((first, second_page), (second, first_page)):
        assert visitor.get(page).status_code == 404
    start_database_and_drain()

    assert state_in(first.get(first_page)) == "created"
    assert RITA["last_name"] in html_of(first.get(first_page))
    response = second.get(second_page)
    assert state_in(response) == "registered_elsewhere"
    text = html_of(response)
    assert "registered in another browser at" in text
    assert "This is not my email" in text
    assert_nothing_of(response, Guest.objects.get())
    assert set(Email.objects.values_list("to", flat=True)) == {RITA["email"]}
    state = second.get(f"{TICKETS}/{ticket_id_in(second_page)}")
    assert state.json() == {"success": True, "state": "registered_elsewhere", "data": None}


def test_staff_see_the_second_registration_beside_the_first(event: Event) -> None:
    two_registrations(event, OUTRA)
    start_database_and_drain()
    staff = Client(headers={"accept-language": "en"})
    staff.force_login(make_staff())
    listed = html_of(staff.get("/admin/guests/guestrequest/?is_second_registration__exact=1"))
    assert RITA["last_name"] in listed
    assert "1 guest request" in listed
    assert User.objects.get(last_name=RITA["last_name"]).claims.get().email == OUTRA["email"]


def test_the_same_person_in_a_second_browser_is_referred_to_their_email(event: Event) -> None:
    """A visitor changes from the browser of an app to Safari. Name and email are no proof."""
    _, _, second, second_page = two_registrations(event, RITA)
    start_database_and_drain()
    response = second.get(second_page)
    assert state_in(response) == "by_email"
    assert "another browser" not in html_of(response)
    assert_nothing_of(response, Guest.objects.get())
    assert Email.objects.filter(kind="qr_code", to=RITA["email"]).count() == 1


def test_another_spelling_of_the_same_person_makes_no_claim(
    event: Event,
) -> None:
    written = {"first_name": "rita", "last_name": "PRIMEIRA", "email": "rita+snap@example.com"}
    _, _, second, second_page = two_registrations(event, written)
    start_database_and_drain()
    assert state_in(second.get(second_page)) == "by_email"
    assert not Claim.objects.exists()


def test_an_email_with_too_many_accounts_is_refused_and_the_phone_stays_free(
    event: Event, settings: Settings
) -> None:
    settings.ACCOUNTS_PER_EMAIL = 1
    make_account(email=RITA["email"])
    stop_database_after_a_sweep()
    visitor = Visitor(event)
    visitor.give_phone()
    page = location_of(visitor.register(**RITA))
    start_database_and_drain()
    assert not User.objects.filter(phone=PHONE).exists()
    response = visitor.get(page)
    assert state_in(response) == "refused"
    assert "as many accounts as one may have" in html_of(response)
    state = visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()
    assert (state["state"], state["data"]["code"]) == ("refused", "email_taken")
    assert Visitor(event).get(page).status_code == 302
    staff = Client(headers={"accept-language": "en"})
    staff.force_login(make_staff())
    assert staff_refusal_text("email_taken") in html_of(staff.get("/admin/guests/deadentry/"))
    stop_database_after_a_sweep()
    response = visitor.get(page)
    assert state_in(response) == "refused"
    assert "as many accounts as one may have" in html_of(response)
    state = visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()
    assert (state["state"], state["data"]["code"]) == ("refused", "email_taken")
    # The phone can be registered with another email.
    visitor.give_phone()
    location_of(visitor.register(**RITA | {"email": "outra@example.com"}))
    start_database_and_drain()
    assert User.objects.get(phone=PHONE).email == "outra@example.com"


def test_the_browser_that_was_given_the_ticket_sees_a_refusal(event: Event) -> None:
    """No email is sent about it, so the page must not refer to one."""
    make_account(phone=PHONE)
    stop_database_after_a_sweep()
    pages = {}
    for person in (RITA, OUTRA):
        visitor = Visitor(event)
        visitor.give_phone()
        pages[visitor] = location_of(visitor.register(**person))
    start_database()
    Event.objects.update(cancelled_at=timezone.now())
    drain_journal()
    for visitor, page in pages.items():
        response = visitor.get(page)
        assert state_in(response) == "refused"
        assert "was cancelled" in html_of(response)
        state = visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()
        assert (state["state"], state["data"]["code"]) == ("refused", "event_cancelled")


def test_a_ticket_stays_queued_until_its_request_has_ended(event: Event) -> None:
    make_account(phone=PHONE)
    stop_database_after_a_sweep()
    visitor = Visitor(event)
    visitor.give_phone()
    page = location_of(visitor.register(**OUTRA))
    start_database()
    wait_for(lambda: drain(get_journal()) == 1)
    assert state_in(visitor.get(page)) == "queued"
    create_due_guests()
    assert state_in(visitor.get(page)) == "registered_elsewhere"


def test_one_browser_keeps_the_tickets_of_several_phones(event: Event) -> None:
    stop_database_after_a_sweep()
    visitor = Visitor(event)
    pages = []
    for number, person in enumerate((RITA, OUTRA)):
        visitor.give_phone(f"961 234 56{number}")
        pages.append(location_of(visitor.register(**person)))
    start_database_and_drain()
    first = User.objects.get(last_name=RITA["last_name"])
    for _ in range(2):
        for page, person in zip(pages, (RITA, OUTRA), strict=True):
            response = visitor.get(page)
            assert state_in(response) == "created"
            assert person["last_name"] in html_of(response)
            assert response.wsgi_request.user == first


def test_signing_in_keeps_the_tickets_of_the_browser(event: Event) -> None:
    account = make_account(phone=PHONE)
    stop_database_after_a_sweep()
    visitor = Visitor(event)
    visitor.give_phone("961 234 560")
    page = location_of(visitor.register(**RITA))
    start_database_and_drain()
    assert state_in(visitor.get(page)) == "created"
    visitor.give_phone()
    visitor.type_code(account)
    # The session of the other account has ended, so its ticket only says where the QR code is.
    response = visitor.get(page)
    assert state_in(response) == "by_email"
    assert response.wsgi_request.user == account


def test_a_dead_entry_is_failed_in_the_api(event: Event, settings: Settings) -> None:
    settings.JOURNAL_ATTEMPTS = 1
    account = make_account(phone=PHONE)
    visitor = Visitor(event)
    visitor.give_phone()
    stop_database_after_a_sweep()
    page = location_of(visitor.send("code", code="123456"))
    start_database()
    User.objects.filter(pk=account.pk).update(phone="+351961234561")
    drain_journal()  # No account has the phone, so the entry cannot be drained.
    assert state_in(visitor.get(page)) == "failed"
    assert visitor.get(f"{TICKETS}/{ticket_id_in(page)}").json()["state"] == "failed"


def test_a_stranger_with_the_phone_in_the_code_step_has_a_ticket_of_their_own(
    event: Event,
) -> None:
    account = make_account(phone="+351961234567")
    owner, stranger = Visitor(event), Visitor(event)
    for visitor in (stranger, owner):
        assert location_of(visitor.give_phone()).startswith("/promo/festa/-/code/")
    stop_database_after_a_sweep()
    pages = [location_of(v.send("code", code="123456")) for v in (stranger, owner)]
    assert len(set(pages)) == 2
    start_database_and_drain()
    for visitor, page in zip((stranger, owner), pages, strict=True):
        response = visitor.get(page)
        assert state_in(response) == "by_email"
        assert_nothing_of(response, Guest.objects.get(account=account))


def test_only_the_browser_of_a_ticket_sees_that_it_is_queued(event: Event) -> None:
    first, first_page, *_ = two_registrations(event, OUTRA)
    make_id = ticket_id_in(first_page)
    servers.freshen()
    close_old_connections()
    stranger = Visitor(event).signed_in(make_account())
    stop_database()
    for path in (first_page, f"{TICKETS}/{make_id}"):
        assert stranger.get(path).status_code == 404
        assert Visitor(event).get(path).status_code == 404
    assert state_in(first.get(first_page)) == "queued"
    # Another host may have accepted a ticket that this one does not know.
    unknown = "00000000-0000-4000-8000-000000000000"
    for path in (f"/promo/festa/ticket/{unknown}/", f"{TICKETS}/{unknown}"):
        assert stranger.get(path).status_code == 503
        assert Visitor(event).get(path).status_code == 404
