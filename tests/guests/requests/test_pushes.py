"""What open pages are told: one message for each account and event, after the commit."""

from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from guests.models import GuestRequest
from guests.requests.pushes import push_event_changed, push_places_changed
from guests.requests.tickets import Ticket, ticket_of
from tests.factories import make_event, make_guest
from tests.helpers.pushes import listening

pytestmark = pytest.mark.django_db
FIELDS_OF_THE_PREVIOUS_RELEASE = {
    "ticket_id",
    "state",
    "event_slug",
    "event_title",
    "venue",
    "time_zone",
    "starts_at",
    "name",
    "guest_id",
    "qr_code_url",
    "pass_url",
    "position",
    "refusal",
    "email_follows",
}
committed = pytest.mark.django_db(transaction=True)


def test_a_change_of_an_event_is_one_message_however_many_guests_it_has(
    django_capture_on_commit_callbacks: Any,
) -> None:
    event = make_event()
    make_guest(event)
    make_guest(event)
    with listening() as receive:
        with django_capture_on_commit_callbacks(execute=True):
            push_event_changed(event.pk)
        assert receive(1) == [(f"event.{event.pk}", {"type": "event.changed"})]


def test_a_changed_place_is_one_message_for_its_account_and_event(
    django_capture_on_commit_callbacks: Any,
) -> None:
    guest = make_guest()
    other = make_guest(guest.event)
    request = GuestRequest.objects.get(guest=guest)
    with listening() as receive:
        with django_capture_on_commit_callbacks(execute=True):
            push_places_changed([guest, request, other])
        message = {"type": "place.changed", "event_id": guest.event_id}
        accounts = sorted([guest.account_id, other.account_id])
        assert receive(2) == [(f"places.{account}", message) for account in accounts]


@committed
def test_nothing_is_pushed_before_the_commit_or_after_a_rollback() -> None:
    guest = make_guest()
    with listening() as receive:
        with transaction.atomic():
            push_event_changed(guest.event_id)
            push_places_changed([guest])
            transaction.set_rollback(True)
        with transaction.atomic():
            push_event_changed(guest.event_id + 1)
            assert receive(0) == []
        assert [group for group, _ in receive(1)] == [f"event.{guest.event_id + 1}"]


def test_the_previous_release_can_read_a_pushed_ticket() -> None:
    """It passes all fields of `ticket` to its own class, and ignores what is beside them."""
    ticket = ticket_of(GuestRequest.objects.with_ticket_details().get(guest=make_guest()))
    message = ticket.as_message()
    assert message["type"] == "ticket.changed"
    assert set(message["ticket"]) == FIELDS_OF_THE_PREVIOUS_RELEASE
    read = Ticket.from_message({"ticket": message["ticket"]})
    for field in FIELDS_OF_THE_PREVIOUS_RELEASE:
        assert getattr(read, field) == getattr(ticket, field)


def test_a_pushed_ticket_arrives_whole_and_may_be_of_the_next_release() -> None:
    ticket = ticket_of(GuestRequest.objects.with_ticket_details().get(guest=make_guest()))
    ticket = replace(ticket, as_of="2026-11-27T22:30:00+00:00")
    message = ticket.as_message()
    assert Ticket.from_message(message) == ticket
    message["ticket"]["seat"] = 12
    message["more"]["gate"] = "B"
    assert Ticket.from_message(message) == ticket
