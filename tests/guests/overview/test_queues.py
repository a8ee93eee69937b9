"""The queues as operators see them: how much waits, and since when."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from guests.emergency.journal import get_journal
from guests.models import DeadEntry, GuestRequest
from guests.overview.queues import Queue, read_journal, read_queues, read_requests
from notifications.models import Email
from tests.factories import make_event, make_request
from tests.helpers.journal import registration_entry
from tests.helpers.switches import turn_off, turn_on

pytestmark = pytest.mark.django_db


def ago(seconds: float) -> Combinable:
    return Now() - timedelta(seconds=seconds)


def make_pending(accepted: float, due: float, **fields: object) -> GuestRequest:
    """Make a pending request that was accepted and due so many seconds ago."""
    request = make_request(make_event())
    rows = GuestRequest.objects.filter(pk=request.pk)
    rows.update(accepted_at=ago(accepted), next_attempt_at=ago(due), **fields)
    return request


def queue_email(cause: str, *, fast: bool, seconds: float, state: str = "queued") -> None:
    email = Email.objects.create(kind="welcome", cause=cause, to="a@b.example", fast=fast)
    Email.objects.filter(pk=email.pk).update(queued_at=ago(seconds), state=state)


def test_nothing_is_queued() -> None:
    queues = read_queues()
    assert (queues.requests, queues.in_line, queues.journal) == (Queue(), 0, Queue())
    assert queues.emails == {"codes": Queue(), "bulk": Queue()}
    assert (queues.dead_requests, queues.dead_emails) == (0, 0)


@pytest.mark.parametrize(
    ("accepted", "due", "fields", "depth", "in_line", "age"),
    [
        (30, 30, {}, 1, 0, 30),
        # Its turn came 5 seconds ago.
        (30, 5, {}, 1, 0, 5),
        # Its turn comes later.
        (30, -20, {}, 0, 1, 0),
        # It failed, and its next attempt comes later.
        (30, -20, {"attempts": 1}, 1, 0, 30),
        # It was accepted in an outage, and imported a second ago.
        (30, 1, {"level": 3}, 1, 0, 30),
        (30, 30, {"state": "refused", "refusal": "closed", "ended_at": Now()}, 0, 0, 0),
    ],
)
def test_a_request_waits_since_its_turn(
    accepted: float, due: float, fields: dict[str, object], depth: int, in_line: int, age: float
) -> None:
    make_pending(accepted, due, **fields)
    queue, later = read_requests()
    assert (queue.depth, later) == (depth, in_line)
    assert age <= queue.oldest_age < age + 5


def test_emails_wait_in_two_lanes() -> None:
    queue_email("1", fast=True, seconds=3)
    queue_email("2", fast=False, seconds=40)
    queue_email("3", fast=False, seconds=10)
    queue_email("4", fast=False, seconds=100, state="sent")
    queue_email("5", fast=False, seconds=100, state="dead")
    queues = read_queues()
    assert (queues.emails["codes"].depth, queues.emails["bulk"].depth) == (1, 2)
    assert 3 <= queues.emails["codes"].oldest_age < 8
    assert 40 <= queues.emails["bulk"].oldest_age < 45
    assert queues.dead_emails == 1


def test_emails_that_wait_for_a_switch_are_not_late() -> None:
    queue_email("1", fast=False, seconds=40)
    turn_off("emails_welcome")
    assert read_queues().emails["bulk"] == Queue()
    turn_on("emails_welcome")
    assert read_queues().emails["bulk"].depth == 1


def test_dead_requests_are_those_of_the_table_and_of_the_journals() -> None:
    make_pending(30, 30, state="dead", ended_at=Now())
    fields = {"event_slug": "e", "phone": "+351910000000", "attempts": 10, "accepted_at": ago(9)}
    DeadEntry.objects.create(ticket_id="00000000-0000-0000-0000-000000000001", error="x", **fields)
    # It was refused: its email has another account.
    refused = {"ticket_id": "00000000-0000-0000-0000-000000000002", "error": "email_taken"}
    DeadEntry.objects.create(**refused, **fields)
    assert read_queues().dead_requests == 2


def test_the_journal_of_this_host() -> None:
    get_journal().accept(registration_entry(make_event()))
    queue = read_journal()
    assert queue is not None
    assert queue.depth == 1
    assert 0 <= queue.oldest_age < 5


def test_a_journal_that_cannot_be_read_is_no_queue() -> None:
    settings.JOURNAL_PATH.parent.mkdir(parents=True, exist_ok=True)
    settings.JOURNAL_PATH.write_bytes(b"no database" * 1000)
    assert read_journal() is None


@pytest.mark.parametrize(
    ("table", "index"),
    [("guests_guestrequest", "guests_dead_requests"), ("notifications_email", "email_dead")],
)
def test_dead_rows_are_counted_by_an_index(table: str, index: str) -> None:
    """Among a million rows there are few."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN SELECT count(*) FROM {table} WHERE state = 'dead'")
        plan = " ".join(row[0] for row in cursor.fetchall())
    assert index in plan


def test_the_queries_do_not_grow(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(5):
        read_queues()
    for _ in range(3):
        make_pending(30, 30)
    with django_assert_num_queries(5):
        read_queues()
