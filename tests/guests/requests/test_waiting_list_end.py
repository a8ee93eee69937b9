"""Promotion from the waiting list stops at a time that the event sets, its end by default."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db.models import F
from django.utils import timezone

from guests.exceptions import GuestError
from guests.models import Event, Guest, GuestRequest
from guests.requests.creating import create_due_guests
from guests.requests.waiting_list import (
    cancel_guests,
    events_with_unfilled_places,
    fill_free_places,
)
from guests.sweeps import sweep_waiting_lists
from tests.factories import make_account, make_event, make_guest, make_request, make_staff
from tests.helpers.emails import send_all
from tests.helpers.visitors import Visitor, html_of

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def full_event(**fields: Any) -> tuple[Event, Guest, Guest]:
    """Return an event with one place, its guest, and a guest who waits."""
    event = make_event(capacity=1, **fields)
    return event, make_guest(event), make_guest(event)


def end_waiting_list(event: Event) -> None:
    Event.objects.filter(pk=event.pk).update(waiting_list_ends_at=timezone.now())


def state_of(guest: Guest) -> str:
    return Guest.objects.get(pk=guest.pk).state


def test_a_place_that_becomes_free_after_the_end_stays_free() -> None:
    event, first, waiting = full_event()
    end_waiting_list(event)
    cancel_guests(event.pk, [first.pk], acting_user=make_staff())
    assert state_of(waiting) == "waiting"
    assert Event.objects.get(pk=event.pk).places_taken == 0


def test_neither_sweep_nor_worker_promotes_after_the_end() -> None:
    event, _, waiting = full_event()
    end_waiting_list(event)
    Event.objects.filter(pk=event.pk).update(capacity=F("capacity") + 1)
    assert not events_with_unfilled_places().exists()
    sweep_waiting_lists(lambda: False)
    assert fill_free_places(Event.objects.get(pk=event.pk)) == 0
    make_request(event)
    create_due_guests()
    assert state_of(waiting) == "waiting"
    # A new request gets the free place: nobody waits for it any more.
    assert GuestRequest.objects.latest("pk").state == "created"


def test_before_the_end_and_without_one_the_first_who_waits_gets_the_place() -> None:
    for fields in ({}, {"waiting_list_ends_at": timezone.now() + HOUR}):
        event, first, waiting = full_event(**fields)
        cancel_guests(event.pk, [first.pk], acting_user=make_staff())
        assert state_of(waiting) == "on_list"


def test_the_end_of_the_event_is_the_latest_end() -> None:
    event, _, waiting = full_event(waiting_list_ends_at=timezone.now() + 900 * HOUR)
    now = timezone.now()
    Event.objects.filter(pk=event.pk).update(starts_at=now - HOUR, ends_at=now, capacity=2)
    assert fill_free_places(Event.objects.get(pk=event.pk)) == 0
    assert state_of(waiting) == "waiting"


def test_nobody_joins_a_waiting_list_that_has_ended() -> None:
    event, _, _ = full_event()
    end_waiting_list(event)
    with pytest.raises(GuestError, match="list_full"):
        make_request(event, make_account())
    page = html_of(Visitor(event).look())
    assert "Join the waiting list" not in page
    assert "The list is full." in page


def test_a_request_from_before_the_end_is_refused_after_it() -> None:
    event = make_guest(make_event(capacity=1)).event
    make_request(event)
    end_waiting_list(event)
    create_due_guests()
    request = GuestRequest.objects.latest("pk")
    assert (request.state, request.refusal) == ("refused", "list_full")


@pytest.mark.parametrize(
    ("begins_in", "come"),
    [
        (2 * HOUR, "Chega 15 minutos antes."),
        (HOUR / 6, "Está quase a começar: vem assim que puderes."),
        (-HOUR, "Já começou: vem assim que puderes."),
    ],
)
def test_the_email_of_a_promoted_guest_fits_the_time(begins_in: timedelta, come: str) -> None:
    event, first, waiting = full_event()
    Event.objects.filter(pk=event.pk).update(starts_at=timezone.now() + begins_in)
    cancel_guests(event.pk, [first.pk], acting_user=make_staff())
    send_all()
    message = [each for each in mail.outbox if each.to == [waiting.account.email]][-1]
    assert isinstance(message, EmailMultiAlternatives)
    for text in (str(message.body), str(message.alternatives[0][0])):
        assert "Ficou livre um lugar, e é teu." in text
        assert come in text
        assert ("15 minutos" in text) is (begins_in > HOUR)
