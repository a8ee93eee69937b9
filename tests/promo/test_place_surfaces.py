"""Each surface tells the holder of a place the same, in each state of the place and the event."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from guests.emergency.mirror import Mirror
from guests.emergency.mirror_sync import sync_mirror
from guests.models import Event, Guest, GuestRequest
from guests.place_status import OPENING_CODES, PLACE_TEXTS, PlaceCode
from guests.requests.giving_back import free_places_given_back, give_place_back
from guests.requests.tickets import Ticket, TicketState, ticket_of
from notifications.kinds import build_content
from promo.sockets.messages import ticket_message
from tests.factories import make_event, make_guest
from tests.helpers.api import CREATE, CREATE_ASYNC, TICKETS, post_json
from tests.helpers.place_states import FIRST_VENUE, GUESTS, HOUR, SECOND_VENUE, changed
from tests.helpers.visitors import Visitor, html_of

pytestmark = pytest.mark.django_db

# Places whose code is not shown, and that are places all the same.
WITH_PLACE = {PlaceCode.OVER, PlaceCode.LEAVING}
# Places that ended for their guest alone: a new request is for a new place.
ENDED_ALONE = {PlaceCode.REMOVED, PlaceCode.GIVEN_BACK, PlaceCode.MOVED_TO_EVENT}


def heading(code: PlaceCode) -> str:
    with translation.override("en"):
        return str(PLACE_TEXTS[code].heading)


def ticket_in(guest: Guest) -> Ticket:
    return ticket_of(GuestRequest.objects.with_ticket_details().get(guest=guest))


def phase_of(guest: Guest) -> str:
    return Event.objects.with_database_time().get(pk=guest.event_id).phase()


def test_every_code_of_a_ticket_has_a_guest() -> None:
    assert set(GUESTS) == set(PlaceCode) - {PlaceCode.REPLACED}


def pages_tell(guest: Guest, code: PlaceCode) -> None:
    visitor = Visitor(guest.event).signed_in(guest.account)
    ticket = f"/promo/{guest.event.slug}/ticket/{ticket_in(guest).ticket_id}/"
    paths = [visitor.event_url, ticket]
    if guest.qr_token:
        paths.append(f"/guest/{guest.qr_token}")
    for path in paths:
        page = html_of(visitor.get(path))
        assert f"{heading(code)}</h" in page, path
        assert ("/media/qr/" in page) is (code in OPENING_CODES), path
        assert ("You are on the list</h" in page) is (heading(code) == "You are on the list"), path


def the_pass_tells_strangers(guest: Guest, code: PlaceCode) -> None:
    if not guest.qr_token:
        return
    page = html_of(Client(headers={"accept-language": "en"}).get(f"/guest/{guest.qr_token}"))
    assert ("This is a valid pass" in page) is (code in OPENING_CODES)
    assert ("This pass is not valid" in page) is (code not in OPENING_CODES)
    assert guest.name not in page


def the_api_and_the_sockets_tell(guest: Guest, code: PlaceCode) -> None:
    ticket = ticket_in(guest)
    visitor = Visitor(guest.event).signed_in(guest.account)
    body = visitor.browser.get(f"{TICKETS}/{ticket.ticket_id}").json()
    told = (body["data"]["place"], body["data"]["eventState"])
    assert told == (code, phase_of(guest))
    assert (body["state"] == "created") is (code in OPENING_CODES | WITH_PLACE)
    message: Any = ticket_message(ticket, 1)
    if message["success"]:
        assert (message["data"]["place"], message["data"]["eventState"]) == told
    else:
        assert message["code"] == body["data"]["code"]
    assert ("qr_code_url" in str(message)) is (body["state"] == "created")


def a_repeated_create_call_tells(guest: Guest, code: PlaceCode) -> None:
    if code in ENDED_ALONE:
        return  # The call asks for a new place.
    visitor = Visitor(guest.event).signed_in(guest.account)
    for path in (CREATE, CREATE_ASYNC):
        response = post_json(visitor.browser, path, {"event_id": guest.event_id})
        if code is PlaceCode.EVENT_CANCELLED:
            assert (response.status_code, response.json()["code"]) == (409, "event_cancelled")
        elif code is PlaceCode.UNPROVEN:
            assert (response.status_code, response.json()["code"]) == (403, "unproven")
        else:
            assert response.status_code == 200
            # A new request undoes giving the place back.
            expected = PlaceCode.VALID if code is PlaceCode.LEAVING else code
            assert response.json()["data"]["place"] == expected


def the_list_of_events_tells(guest: Guest, code: PlaceCode) -> None:
    page = html_of(Visitor(guest.event).signed_in(guest.account).get("/promo/"))
    if code in ENDED_ALONE | {PlaceCode.OVER}:
        # A guest who was moved has a place at the other event.
        assert page.count("badge-mine") == (code is PlaceCode.MOVED_TO_EVENT)
        return
    with translation.override("en"):
        badge = str(PLACE_TEXTS[code].badge)
    assert badge in page
    assert ("you are on the list" in page.lower()) is ("on the list" in badge)


def a_pushed_ticket_tells(guest: Guest, code: PlaceCode) -> None:
    ticket = ticket_in(guest)
    assert (ticket.place, ticket.shows_code) == (code, code in OPENING_CODES)
    message = ticket.as_message()
    assert Ticket.from_message(message) == ticket
    older = Ticket.from_message({"ticket": message["ticket"]})
    assert older.state is ticket.state
    if ticket.state is TicketState.CANCELLED:
        assert older.refusal == ""


def the_mirror_tells(guest: Guest, code: PlaceCode) -> None:
    ticket = ticket_in(guest)
    with TemporaryDirectory() as folder:
        mirror = Mirror(Path(folder) / "mirror.sqlite3")
        sync_mirror(mirror.path)
        found = mirror.find_latest_ticket(guest.event_id, guest.account_id)
        if code is PlaceCode.OVER:
            assert found is None
            return
        assert found is not None
        mirrored = found.to_ticket()
        assert (mirrored.place, mirrored.event_state) == (code, ticket.event_state)
        assert (mirrored.moved_from, mirrored.refusal) == (ticket.moved_from, ticket.refusal)
        assert mirrored.as_of
        if code not in ENDED_ALONE:
            assert mirror.places_of(guest.account_id)[guest.event_id].code is code


def emails_tell(guest: Guest, code: PlaceCode) -> None:
    listings = Guest.objects.get(pk=guest.pk).listings
    cause = f"guest:{guest.pk}/{listings}"
    content = build_content("qr_code", cause)
    assert (content is not None) is (code in OPENING_CODES)
    assert (build_content("waitlisted", cause) is not None) is (code is PlaceCode.WAITING)
    if content:
        assert content.context["has_begun"] is (code is PlaceCode.BEGUN)
        assert content.context["from_waiting_list"] is (code is PlaceCode.PROMOTED)


# Each checks one surface. The create call is the last, because it can change the place.
SURFACES = [
    pages_tell,
    the_pass_tells_strangers,
    the_api_and_the_sockets_tell,
    the_list_of_events_tells,
    a_pushed_ticket_tells,
    the_mirror_tells,
    emails_tell,
    a_repeated_create_call_tells,
]


@pytest.mark.parametrize("code", GUESTS)
def test_every_surface_tells_the_same(code: PlaceCode) -> None:
    guest = GUESTS[code]()
    for tells in SURFACES:
        tells(guest, code)


def test_a_moved_event_is_shown_as_it_was_and_as_it_is() -> None:
    guest = GUESTS[PlaceCode.MOVED]()
    visitor = Visitor(guest.event).signed_in(guest.account)
    ticket = f"/promo/{guest.event.slug}/ticket/{ticket_in(guest).ticket_id}/"
    for path in (visitor.event_url, ticket, f"/guest/{guest.qr_token}"):
        page = html_of(visitor.get(path))
        assert FIRST_VENUE in page, path
        assert SECOND_VENUE in page, path
    newcomer = make_guest(Event.objects.get(pk=guest.event_id))
    page = html_of(Visitor(guest.event).signed_in(newcomer.account).look())
    assert FIRST_VENUE not in page


def test_a_guest_who_was_moved_finds_the_other_event() -> None:
    guest = GUESTS[PlaceCode.MOVED_TO_EVENT]()
    page = html_of(Visitor(guest.event).signed_in(guest.account).look())
    assert "Outra Noite" in page


@pytest.mark.parametrize("code", [PlaceCode.EVENT_CANCELLED, PlaceCode.BEGUN])
def test_the_list_of_the_api_has_the_state_of_each_event(code: PlaceCode) -> None:
    guest = GUESTS[code]()
    make_event()
    events = Client().get("/api/events").json()["events"]
    states = {event["id"]: event["eventState"] for event in events}
    assert states.pop(guest.event_id) == phase_of(guest)
    assert list(states.values()) == ["upcoming"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (PlaceCode.EVENT_CANCELLED, "This event was cancelled."),
        (PlaceCode.OVER, "This event is over."),
    ],
)
def test_a_newcomer_reads_the_state_of_the_event(code: PlaceCode, text: str) -> None:
    guest = GUESTS[code]()
    page = html_of(Visitor(guest.event).look())
    assert text in page
    assert "I want to be on the list" not in page


@pytest.mark.parametrize("code", [PlaceCode.LEAVING, PlaceCode.WAITING_ENDED])
def test_a_place_that_ends_at_a_moved_event_names_the_present_venue(code: PlaceCode) -> None:
    guest = changed(GUESTS[code](), venue=SECOND_VENUE, starts_at=timezone.now() + HOUR)
    visitor = Visitor(guest.event).signed_in(guest.account)
    paths = [visitor.event_url]
    if guest.qr_token:
        paths.append(f"/guest/{guest.qr_token}")
    for path in paths:
        page = html_of(visitor.get(path))
        assert re.search(f'class="stub-where">{SECOND_VENUE}', page), path
        assert 'class="stub-when"' in page, path
        assert "Time or place have changed" not in page, path


@pytest.mark.parametrize("code", [PlaceCode.VALID, PlaceCode.WAITING, PlaceCode.UNPROVEN])
def test_the_note_of_a_move_promises_a_code_only_beside_one(code: PlaceCode) -> None:
    guest = changed(GUESTS[code](), venue=SECOND_VENUE)
    page = html_of(Visitor(guest.event).signed_in(guest.account).look())
    assert "Time or place have changed" in page
    assert ("your code stay the same" in page) is (code is PlaceCode.VALID)


def test_the_waiting_list_is_left_in_its_own_words() -> None:
    guest = GUESTS[PlaceCode.WAITING]()
    give_place_back(guest)
    visitor = Visitor(guest.event).signed_in(guest.account)
    page = html_of(visitor.look())
    assert "You left the waiting list</h" in page
    assert "somebody else" not in page
    Guest.objects.filter(pk=guest.pk).update(leaves_at=timezone.now())
    free_places_given_back()
    assert "If you have a QR code of this place" in html_of(visitor.look())


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (PlaceCode.VALID, "You are on the list already."),
        (PlaceCode.WAITING, "You are on the waiting list already."),
        (PlaceCode.WAITING_ENDED, "The waiting list has ended"),
        (PlaceCode.OVER, "This event is over"),
    ],
)
def test_a_repeated_call_says_how_the_place_stands(code: PlaceCode, text: str) -> None:
    guest = GUESTS[code]()
    visitor = Visitor(guest.event).signed_in(guest.account)
    body = post_json(visitor.browser, CREATE, {"event_id": guest.event_id}).json()
    assert body["message"] == text


def test_holders_of_a_cancelled_event_can_update_their_calendar() -> None:
    guest = GUESTS[PlaceCode.EVENT_CANCELLED]()
    visitor = Visitor(guest.event).signed_in(guest.account)
    for path in (visitor.event_url, f"/guest/{guest.qr_token}"):
        (calendar,) = re.findall(r'href="([^"]+calendar[^"]*)"', html_of(visitor.get(path)))
        assert b"STATUS:CANCELLED" in visitor.get(calendar).content
