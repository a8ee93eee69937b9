"""Tickets: the state of a request, the position, and the estimated time."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from guests.models import Guest, GuestRequest
from guests.requests.tickets import (
    MAX_WAITED_SECONDS,
    REQUESTS_PER_SECOND,
    Ticket,
    estimated_seconds,
    seconds_left,
    ticket_of,
)
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_event, make_guest, make_request

pytestmark = pytest.mark.django_db


def seconds_left_after(waited: timedelta) -> int:
    request = make_request()
    GuestRequest.objects.update(accepted_at=Now() - waited)
    return seconds_left(GuestRequest.objects.with_ticket_details().get(pk=request.pk))


def test_the_estimate_of_a_new_request_is_short() -> None:
    assert seconds_left_after(timedelta()) < 10


def test_the_estimate_is_the_time_that_the_request_has_waited() -> None:
    assert 20 <= seconds_left_after(timedelta(seconds=20)) < MAX_WAITED_SECONDS


def test_the_estimate_has_a_maximum() -> None:
    assert seconds_left_after(timedelta(days=1)) == MAX_WAITED_SECONDS


def test_the_clock_of_the_database_decides_whether_a_request_is_in_line() -> None:
    """The clock of the host does not matter."""
    request = make_request()
    GuestRequest.objects.update(next_attempt_at=Now() + timedelta(seconds=50))
    request = GuestRequest.objects.with_ticket_details().get(pk=request.pk)
    assert request.is_in_line
    assert 50 <= seconds_left(request) <= 52
    request.database_now += timedelta(hours=1)
    assert not request.is_in_line


def test_a_ticket_has_the_position_in_the_waiting_list() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    make_guest(event)
    waiting = make_guest(event)
    ticket = ticket_of(GuestRequest.objects.with_ticket_details().get(guest=waiting))
    assert (ticket.state, ticket.position, ticket.qr_code_url) == ("waitlisted", 2, "")
    assert Ticket.from_message(ticket.as_message()) == ticket


def test_the_ticket_of_a_cancelled_guest_has_no_code(guest: Guest, manager: Any) -> None:
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    ticket = ticket_of(GuestRequest.objects.with_ticket_details().get(guest=guest))
    assert (ticket.state, ticket.qr_code_url, ticket.pass_url) == ("cancelled", "", "")


@pytest.mark.slow
def test_the_estimate_grows_with_the_number_of_pending_requests() -> None:
    few, many = make_event(), make_event()
    for _ in range(3):
        make_request(few)
    for _ in range(2 * REQUESTS_PER_SECOND):
        make_request(many)
    assert estimated_seconds(few.pk) == 1
    assert estimated_seconds(many.pk) == 3
