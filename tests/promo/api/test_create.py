"""`create` under load: few threads wait for a guest, and other calls get a ticket at once."""

from contextlib import ExitStack

import pytest
from django.conf import settings
from django.test import Client

from guests.models import Event, Guest, GuestRequest
from guests.requests.creating import waiters
from tests.factories import make_account, make_event
from tests.helpers.api import CREATE
from tests.helpers.sessions import session_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> Event:
    return make_event()


@pytest.fixture
def guest(client: Client) -> Client:
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(make_account())
    return client


def test_a_thread_that_may_wait_creates_the_guest(guest: Client, event: Event) -> None:
    response = guest.post(CREATE, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 200
    assert response.json()["data"]["id"] == Guest.objects.get().pk


def test_a_call_gets_a_ticket_at_once_while_all_threads_wait(
    guest: Client, event: Event, all_threads_wait: None
) -> None:
    """The semaphore limits the waiting threads. With one more the response would be a 200."""
    response = guest.post(CREATE, {"event_id": event.pk}, content_type="application/json")
    assert response.status_code == 202
    ticket = GuestRequest.objects.get()
    assert response.json()["ticketId"] == str(ticket.ticket_id)
    assert ticket.state == "pending"


def test_a_repeated_call_does_not_wait(guest: Client, event: Event, all_threads_wait: None) -> None:
    body = {"event_id": event.pk}
    first = guest.post(CREATE, body, content_type="application/json").json()
    again = guest.post(CREATE, body, content_type="application/json")
    assert (again.status_code, again.json()["ticketId"]) == (202, first["ticketId"])


def test_every_call_releases_its_slot(guest: Client, event: Event) -> None:
    """A call releases the semaphore however it ends, and never twice: it is a BoundedSemaphore."""
    for _ in range(settings.CREATE_WAITERS + 1):
        guest.post(CREATE, {"event_id": event.pk}, content_type="application/json")
        guest.post(CREATE, {"event_id": 0}, content_type="application/json")
    with ExitStack() as waiting:
        for _ in range(settings.CREATE_WAITERS):
            assert waiters.acquire(blocking=False)
            waiting.callback(waiters.release)
        assert not waiters.acquire(blocking=False)
