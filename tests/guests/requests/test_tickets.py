"""What people who wait are told of the time that it takes."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from guests.models import GuestRequest
from guests.requests.tickets import MAX_WAITED_SECONDS, seconds_left
from tests.factories import make_request

pytestmark = pytest.mark.django_db


def seconds_left_after(waited: timedelta) -> int:
    request = make_request()
    GuestRequest.objects.update(accepted_at=Now() - waited)
    return seconds_left(GuestRequest.objects.with_ticket_details().get(pk=request.pk))


def test_a_request_that_has_just_come_takes_a_second() -> None:
    assert seconds_left_after(timedelta()) < 10


def test_one_that_waits_is_told_to_expect_as_long_again() -> None:
    assert 20 <= seconds_left_after(timedelta(seconds=20)) < MAX_WAITED_SECONDS


def test_nobody_is_told_more_than_a_minute_for_that() -> None:
    assert seconds_left_after(timedelta(days=1)) == MAX_WAITED_SECONDS


def test_who_is_in_line_is_so_by_the_databases_clock() -> None:
    """A host whose clock is an hour fast sees the same: nothing here asks it."""
    request = make_request()
    GuestRequest.objects.update(next_attempt_at=Now() + timedelta(seconds=50))
    told = GuestRequest.objects.with_ticket_details().get(pk=request.pk)
    assert told.is_in_line
    assert 50 <= seconds_left(told) <= 52
    told.read_at = told.database_now + timedelta(hours=1)
    assert not told.is_in_line
