"""End-to-end success: accepted against ended in time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from guests.emergency.journal import get_journal
from guests.models import GuestRequest
from guests.overview.success import success_percent
from tests.factories import make_account, make_event, make_request
from tests.helpers.journal import registration_entry

pytestmark = pytest.mark.django_db


def make_requests(number: int, *, age: float, took: float | None = None, **fields: object) -> None:
    """Make requests that were accepted `age` seconds ago and took some seconds, or wait still."""
    event = make_event()
    accepted_at = Now() - timedelta(seconds=age)
    given = {"accepted_at": accepted_at, "next_attempt_at": accepted_at, **fields}
    if took is not None:
        given |= {"state": "refused", "refusal": "closed"}
        given["ended_at"] = Now() - timedelta(seconds=age - took)
    for _ in range(number):
        request = make_request(event, make_account())
        GuestRequest.objects.filter(pk=request.pk).update(**given)


def test_it_is_100_without_requests() -> None:
    assert success_percent() == 100


def test_a_quarter_fails() -> None:
    make_requests(3, age=100, took=2)
    make_requests(1, age=100)
    assert success_percent() == 75


@pytest.mark.parametrize(
    ("age", "took", "fields", "percent"),
    [
        (100, 59, {}, 100),
        (100, 61, {}, 0),
        # Too young and too old to count.
        (50, None, {}, 100),
        (370, None, {}, 100),
        (350, None, {}, 0),
        (100, 2, {"state": "dead", "refusal": ""}, 0),
        # Its turn came after two minutes in line.
        (200, 125, {"next_attempt_at": Now() - timedelta(seconds=80)}, 100),
        (200, None, {"next_attempt_at": Now() - timedelta(seconds=70)}, 0),
        (200, None, {"next_attempt_at": Now() + timedelta(seconds=70)}, 100),
        # Accepted in an outage: its row is younger than it.
        (200, 190, {"next_attempt_at": Now() - timedelta(seconds=15), "level": 3}, 0),
    ],
)
def test_a_request_counts_from_its_turn(
    age: float, took: float | None, fields: dict[str, object], percent: float
) -> None:
    make_requests(1, age=age, took=took)
    GuestRequest.objects.update(**fields)
    assert success_percent() == percent


def test_entries_that_wait_in_the_journal_have_not_ended() -> None:
    make_requests(1, age=100, took=2)
    accepted_at = (datetime.now(UTC) - timedelta(seconds=90)).isoformat()
    get_journal().accept(registration_entry(make_event(), accepted_at=accepted_at))
    assert success_percent() == 50


def test_rows_before_the_window_are_read_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """An entry of an outage is imported after them, although it was accepted before."""
    make_requests(2, age=10_000, took=1)
    make_requests(1, age=100, took=1)
    make_requests(1, age=10_000, took=1, level=3)
    make_requests(1, age=50)
    assert success_percent() == 100
    with django_assert_num_queries(1) as queries:
        assert success_percent() == 100
    first = GuestRequest.objects.order_by("pk")[2]
    assert f'"id" > {first.pk - 1}' in queries.captured_queries[0]["sql"]
    # The last one passes into the window.
    GuestRequest.objects.filter(state="pending").update(accepted_at=Now() - timedelta(seconds=70))
    GuestRequest.objects.filter(state="pending").update(
        next_attempt_at=Now() - timedelta(seconds=70)
    )
    assert success_percent() == 50
