"""Places while the database is away: their holders see them, and other visitors do not."""

from contextlib import closing
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import User
from guests.models import Event, Guest
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.api import CREATE
from tests.helpers.outages import (
    make_seen_event,
    start_database_and_drain,
    stop_database_after_a_sweep,
)
from tests.helpers.places import assert_nothing_of, pages_of
from tests.helpers.visitors import Response, Visitor, html_of, location_of, state_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stoppable_database")]


@pytest.fixture
def event() -> Event:
    return make_seen_event(slug="festa")


# Create calls -------------------------------------------------------------------------------------


def test_the_name_and_key_of_a_create_call_count_in_an_outage_too(event: Event) -> None:
    other = make_seen_event()
    visitor = Visitor(event).signed_in(make_account())
    stop_database_after_a_sweep()

    def create(event: Event, key: str, **fields: str) -> Response:
        return visitor.browser.post(
            CREATE,
            {"event_id": event.pk, **fields},
            content_type="application/json",
            headers={"Idempotency-Key": key},
        )

    ticket = create(event, "key", name="Rita da Festa").json()["ticketId"]
    assert create(event, "key", name="Rita da Festa").json()["ticketId"] == ticket
    reused = create(other, "key")
    assert (reused.status_code, reused.json()["code"]) == (409, "key_reused")
    assert create(event, "k" * 65).status_code == 400
    assert create(event, "key", name="x" * 122).status_code == 400
    start_database_and_drain()
    assert Guest.objects.get().name == "Rita da Festa"
    again = create(event, "key")
    assert again.json()["data"]["id"] == Guest.objects.get().pk
    assert create(other, "key").status_code == 409


# Pages of a place ---------------------------------------------------------------------------------


def test_holders_keep_their_qr_code(event: Event) -> None:
    guest = make_guest(event)
    holder, pages = Visitor(event).signed_in(guest.account), pages_of(guest)
    stop_database_after_a_sweep()
    page, ticket, own_pass, state, events = (holder.get(path) for path in pages)
    for response in (page, ticket, own_pass):
        assert response.status_code == 200
        assert f"/media/qr/{guest.qr_token}.png" in html_of(response)
        assert guest.name in html_of(response)
        assert "This is how it was at" in html_of(response)
        assert "no-store" in response["Cache-Control"]
    assert "I want to be on the list" not in html_of(page)
    assert "Sign out" in html_of(page)
    assert state.json()["data"]["id"] == guest.pk
    assert "You are on the list" in html_of(events)
    with closing(holder.get(f"/media/qr/{guest.qr_token}.png")) as image:
        assert image.status_code == 200


def test_other_visitors_see_nothing_of_a_place(event: Event) -> None:
    guest = make_guest(event)
    other = Visitor(event).signed_in(make_guest(event).account)
    without_place, pages = Visitor(event).signed_in(make_account()), pages_of(guest)
    stop_database_after_a_sweep()
    for visitor in (other, without_place, Visitor(event)):
        for path in pages:
            response = visitor.get(path)
            assert response.status_code in {200, 404}
            if not path.startswith("/guest/"):
                assert_nothing_of(response, guest)
            else:
                assert guest.name not in html_of(response)
                assert "This is a valid pass" in html_of(response)


def test_an_ended_session_opens_nothing(event: Event) -> None:
    guest = make_guest(event)
    copied, pages = Visitor(event).signed_in(guest.account), pages_of(guest)
    guest.account.sign_out_everywhere()
    stop_database_after_a_sweep()
    for path in pages:
        assert guest.name not in html_of(copied.get(path))
    assert "Sign out" not in html_of(copied.look())
    assert location_of(copied.send("request")) == "/promo/festa/-/phone/"
    body = {"event_id": event.pk}
    response = copied.browser.post(CREATE, body, content_type="application/json")
    assert response.status_code == 401


def test_an_inactive_account_opens_nothing(event: Event) -> None:
    guest = make_guest(event)
    visitor, pages = Visitor(event).signed_in(guest.account), pages_of(guest)
    User.objects.filter(pk=guest.account_id).update(is_active=False)
    stop_database_after_a_sweep()
    for path in pages:
        assert guest.name not in html_of(visitor.get(path))


def test_a_place_that_needs_a_proof_stays_unproven() -> None:
    event = make_seen_event(slug="festa", requires_proof=True)
    guest = make_guest(event)
    visitor, pages = Visitor(event).signed_in(guest.account), pages_of(guest)
    stop_database_after_a_sweep()
    page, ticket, own_pass, _, _ = (visitor.get(path) for path in pages)
    assert state_in(page) == state_in(ticket) == "unproven"
    assert "prove that it is you" in html_of(own_pass)
    for response in (page, ticket, own_pass):
        assert f"/media/qr/{guest.qr_token}" not in html_of(response)


def test_a_cancelled_place_shows_no_qr_code(event: Event) -> None:
    guest = make_guest(event)
    visitor, pages = Visitor(event).signed_in(guest.account), pages_of(guest)
    call_command("sweeper", once=True)
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    stop_database_after_a_sweep()
    responses = [visitor.get(path) for path in pages]
    assert [state_in(response) for response in responses[:2]] == ["cancelled", "cancelled"]
    assert "You are no longer on this list" in html_of(responses[2])
    for response in responses:
        assert f"/media/qr/{guest.qr_token}" not in html_of(response)


def test_a_place_in_the_waiting_list_keeps_its_number(event: Event) -> None:
    full = make_event(slug="cheia", capacity=1, has_waiting_list=True)
    make_guest(full)
    Client().get("/promo/cheia/")
    visitor = Visitor(full).signed_in(make_account())
    page = location_of(visitor.send("request"))
    assert state_in(visitor.get(page)) == "waitlisted-1"
    stop_database_after_a_sweep()
    assert state_in(visitor.get(page)) == "waitlisted-1"
    assert state_in(visitor.look()) == "waitlisted-1"


def test_an_event_whose_list_has_closed_is_still_listed(event: Event) -> None:
    now = timezone.now()
    make_seen_event(
        slug="fechada",
        title="Lista Fechada",
        list_opens_at=now - timedelta(hours=2),
        list_closes_at=now - timedelta(hours=1),
    )
    before = [each["slug"] for each in Client().get("/api/events").json()["events"]]
    stop_database_after_a_sweep()
    assert "Lista Fechada" in html_of(Client().get("/promo/"))
    after = [each["slug"] for each in Client().get("/api/events").json()["events"]]
    assert after == before == ["festa", "fechada"]
