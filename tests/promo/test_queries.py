"""The number of queries of every step, for an empty and for a longer list."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from guests.models import Event, GuestRequest
from guests.qr.codes import fill_pool
from guests.requests.creating import create_due_guests
from promo.sockets.handshakes import read_session
from promo.ticket_access import TicketAccess, find_tickets
from tests.factories import make_account, make_event, make_event_promoter, make_guest, make_request
from tests.helpers.visitors import PHONE, Visitor, state_in

# Each test runs without a transaction around it, whose savepoints would be counted as well.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[0, 30], ids=["an empty list", "a list of 30"])
def event(request: pytest.FixtureRequest) -> Event:
    event = make_event()
    for _ in range(request.param):
        make_request(event)
    create_due_guests()
    # The first request for an event saves it for outages, at most once in 30 seconds.
    Visitor(event).look()
    return event


@pytest.fixture
def guest(event: Event) -> Visitor:
    """A visitor of the event, with HTMX."""
    return Visitor(event, htmx=True)


@contextmanager
def queries(expected: int) -> Iterator[None]:
    """Check the number of statements in a block, BEGIN and COMMIT included."""
    with CaptureQueriesContext(connection) as captured:
        yield
    statements = "\n".join(query["sql"][:160] for query in captured.captured_queries)
    assert len(captured) == expected, f"{len(captured)} queries:\n{statements}"


def test_the_event_page_makes_one_query(guest: Visitor) -> None:
    with queries(1):
        guest.look()


def test_the_page_of_a_promoter_makes_two_queries(event: Event) -> None:
    promoter = make_event_promoter(event).promoter
    with queries(2):
        Visitor(event, promoter.code, htmx=True).look()


def test_the_event_page_makes_three_queries_for_a_session(guest: Visitor) -> None:
    guest.signed_in(make_account())
    with queries(3):
        guest.look()


def test_the_phone_form_makes_one_query(guest: Visitor) -> None:
    with queries(1):
        guest.open("phone")


def test_a_new_phone_makes_two_queries(guest: Visitor) -> None:
    with queries(2):
        guest.give_phone()


def test_a_registration_makes_ten_queries(guest: Visitor) -> None:
    guest.give_phone()
    with queries(10):
        assert state_in(guest.register()) == "processing"
    assert User.objects.get(phone=PHONE)


def test_a_request_with_a_session_makes_nine_queries(guest: Visitor) -> None:
    guest.signed_in(make_account())
    # Three of them look for a request that was stored and ended during the insert.
    with queries(9):
        assert state_in(guest.send("request")) == "processing"


def test_a_repeated_request_makes_four_queries(guest: Visitor) -> None:
    guest.signed_in(make_account())
    guest.send("request")
    create_due_guests()
    with queries(4):
        assert state_in(guest.send("request")) == "created"


@pytest.mark.parametrize(("state", "expected"), [("processing", 2), ("created", 1)])
def test_a_poll_makes_two_queries_or_one_with_a_code(
    event: Event, guest: Visitor, state: str, expected: int
) -> None:
    request = make_request(event)
    if state == "created":
        create_due_guests()
    guest.signed_in(request.account)
    with queries(expected):
        response = guest.get(f"/promo/{event.slug}/ticket/{request.ticket_id}/")
    assert state_in(response) == state


@pytest.mark.parametrize(("state", "expected"), [("processing", 2), ("created", 1)])
def test_a_socket_makes_two_queries_or_one_with_a_code(
    event: Event, guest: Visitor, state: str, expected: int
) -> None:
    request = make_request(event)
    if state == "created":
        create_due_guests()
    cookies = guest.signed_in(request.account).browser.cookies.output(header="", sep=";")
    session = read_session({"headers": [(b"cookie", cookies.encode())]})
    with queries(expected):
        (found,) = find_tickets([(request.ticket_id, session)])
    assert found.ticket is not None
    assert found.ticket.state == state


def test_sockets_that_open_together_make_two_queries(event: Event, guest: Visitor) -> None:
    wanted = []
    for request in (make_request(event), make_request(event)):
        cookies = guest.signed_in(request.account).browser.cookies.output(header="", sep=";")
        session = read_session({"headers": [(b"cookie", cookies.encode())]})
        wanted.append((request.ticket_id, session))
    with queries(2):
        found = find_tickets(wanted)
    assert [each.ticket and each.ticket.ticket_id for each in found] == [str(t) for t, _ in wanted]
    (first, _), (second, _) = wanted
    strangers = [(first, wanted[1][1]), (second, wanted[0][1]), (uuid4(), wanted[0][1])]
    hidden = find_tickets(strangers)
    assert {(each.access, each.stored, each.ticket) for each in hidden} == {
        (TicketAccess.NOTHING, None, None)
    }


def test_the_qr_image_makes_no_query(guest: Visitor) -> None:
    made = make_guest(guest.event)
    with queries(0):
        response = guest.get(f"/media/qr/{made.qr_token}.png")
    assert response.status_code == 200
    response.close()


@pytest.mark.parametrize("size", [1, 40])
def test_a_batch_makes_the_same_queries_for_every_size(size: int) -> None:
    event = make_event()
    make_guest(event)
    for _ in range(size):
        make_request(event)

    fill_pool(size)
    with queries(20):
        create_due_guests()
    assert not GuestRequest.objects.pending().exists()
