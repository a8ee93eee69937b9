"""The estimated time on a ticket that waits."""

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
    request.read_at = request.database_now + timedelta(hours=1)
    assert not request.is_in_line
