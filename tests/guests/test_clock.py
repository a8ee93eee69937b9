"""Rows that carry the database's time."""

from datetime import timedelta

import pytest
from django.utils import timezone

from guests.models import Event, GuestRequest
from tests.factories import make_event, make_request

pytestmark = pytest.mark.django_db


def test_an_event_read_without_the_databases_time_has_no_list_state() -> None:
    make_event()
    event = Event.objects.get()
    with pytest.raises(RuntimeError, match=r"with_database_time"):
        event.list_state()
    with pytest.raises(RuntimeError, match=r"with_database_time"):
        event.is_over()
    assert event.list_state(timezone.now()) == Event.ListState.OPEN


def test_a_pending_request_read_without_the_databases_time_does_not_know_its_turn() -> None:
    make_request()
    request = GuestRequest.objects.get()
    with pytest.raises(RuntimeError, match=r"with_database_time"):
        assert request.is_in_line


def test_a_row_carries_the_time_of_its_query() -> None:
    make_event()
    first, second = (Event.objects.with_database_time().get() for _ in range(2))
    assert timedelta() <= second.database_now - first.database_now < timedelta(minutes=1)


def test_the_time_that_a_row_carries_decides_the_state_of_its_list() -> None:
    event = make_event()
    assert event.list_state() == Event.ListState.OPEN
    event.database_now = event.list_closes_at
    assert event.list_state() == Event.ListState.CLOSED
