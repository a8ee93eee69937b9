"""The counts of a night, kept up to date from the history."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from guests.models import Event, Guest
from guests.overview import counting, events
from guests.overview.counting import EventCounts, count_all
from guests.requests.creating import create_due_guests
from guests.requests.waiting_list import cancel_guests
from snap.local_cache import reset_process_state
from tests.factories import (
    make_account,
    make_event,
    make_guest,
    make_promoter,
    make_request,
    make_staff,
)

pytestmark = pytest.mark.django_db


def make_older(seconds: float = 2) -> None:
    """Have the shared row become older, and forget what this process has cached of it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE guests_nightcounts SET counted_at = counted_at - %s * interval '1 second'",
            [seconds],
        )
    events._nights.clear()


def counts_of(event: Event) -> EventCounts:
    found = events.read_night().find(event.slug)
    assert found is not None
    return found.counts


def recount(event: Event) -> dict[str, object]:
    """Return what counting all again gives, without zeros."""
    return shown(count_all([event.pk], now=0).events[event.pk])


def shown(counts: EventCounts) -> dict[str, object]:
    promoters = {}
    for promoter, sizes in counts.promoters.items():
        promoters[promoter] = without_zeros(sizes)
    minutes = {}
    for measure, sizes_by_minute in counts.minutes.items():
        minutes[measure] = sum(sizes_by_minute.values())
    return {
        "totals": without_zeros(counts.totals),
        "promoters": without_zeros(promoters),
        "minutes": without_zeros(minutes),
    }


def without_zeros(sizes: object) -> object:
    assert isinstance(sizes, dict)
    return {key: size for key, size in sizes.items() if size}


def test_requests_and_guests_are_counted_by_promoter_and_by_minute() -> None:
    event, promoter = make_event(capacity=2), make_promoter()
    make_guest(event)
    make_guest(event, promoter=promoter)
    make_guest(event, promoter=promoter)
    make_request(event)
    counts = counts_of(event)
    assert counts.totals == {"requests": 4, "on_list": 2, "waiting": 1, "pending": 1}
    assert counts.promoters[promoter.pk] == {"requests": 2, "on_list": 1, "waiting": 1}
    assert counts.promoters[counting.NO_PROMOTER] == {"requests": 2, "on_list": 1, "pending": 1}
    minute = int(timezone.now().timestamp() / 60)
    assert sum(counts.minutes["requests"].values()) == 4
    assert set(counts.minutes["requests"]) <= {minute - 1, minute}


def test_changes_are_added_without_counting_all_again() -> None:
    event = make_event(capacity=2, has_waiting_list=False)
    counts_of(event)
    counted_at = events._Process.known.tally.counted_at
    guest = make_guest(event)
    for _ in range(2):
        make_request(event)
    create_due_guests()
    make_older()
    counts = counts_of(event)
    assert events._Process.known.tally.counted_at == counted_at
    assert counts.totals["refused"] == 1
    assert shown(counts) == recount(event)
    cancel_guests(event.pk, [guest.pk], acting_user=make_staff())
    make_older()
    assert shown(counts_of(event)) == recount(event)
    assert events._Process.known.tally.counted_at == counted_at


def is_doubtful() -> bool:
    return events._Process.known.tally.is_doubtful


def change(guest: Guest, **fields: object) -> None:
    Guest.objects.filter(pk=guest.pk).update(**fields)


def test_each_change_of_a_guest_is_counted(manager: User) -> None:
    """Walks guests through all states, and compares each step with counting all again."""
    event = make_event(capacity=3)
    guests = [make_guest(event, promoter=make_promoter()) for _ in range(5)]
    later = Now() + timedelta(minutes=5)
    steps: list[Callable[[], object]] = [
        lambda: change(guests[0], leaves_at=later),
        lambda: change(guests[4], leaves_at=later),
        lambda: change(guests[0], leaves_at=None),
        lambda: change(guests[1], checked_in_at=Now()),
        lambda: change(guests[2], leaves_at=later),
        lambda: change(guests[2], checked_in_at=Now()),
        lambda: change(guests[4], state="cancelled", leaves_at=None, ending="given_back"),
        lambda: cancel_guests(event.pk, [guests[0].pk], acting_user=manager),
        lambda: cancel_guests(event.pk, [guests[1].pk], acting_user=manager),
        lambda: make_request(event, guests[0].account),
        create_due_guests,
    ]
    counts_of(event)
    for step in steps:
        step()
        make_older()
        counts = counts_of(event)
        if not is_doubtful():
            assert shown(counts) == recount(event)
    assert is_doubtful()
    make_older(seconds=10)
    connection.cursor().execute(
        "UPDATE guests_nightcounts SET values = jsonb_set(values, '{counted_at}', '0')"
    )
    assert shown(counts_of(event)) == recount(event)
    assert not is_doubtful()
    assert counts_of(event).totals["checked_in"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_change_that_becomes_visible_late_is_counted() -> None:
    event, account = make_event(), make_account()
    make_request(event)
    counts_of(event)
    is_inserted, may_commit = threading.Event(), threading.Event()

    def insert_slowly() -> None:
        with transaction.atomic():
            make_request(event, account)
            is_inserted.set()
            may_commit.wait(10)
        connection.close()

    slow = threading.Thread(target=insert_slowly)
    slow.start()
    assert is_inserted.wait(10)
    make_request(event)
    make_older()
    assert counts_of(event).totals["requests"] == 2
    assert events._Process.known.tally.gaps
    may_commit.set()
    slow.join(10)
    make_older()
    assert counts_of(event).totals["requests"] == 3
    assert events._Process.known.tally.gaps == {}


def test_gaps_that_stay_are_forgotten() -> None:
    tally = counting.Tally(seen=5)
    counting.note_gaps(tally, 0, [1, 2, 5], now=100)
    assert set(tally.gaps) == {3, 4}
    counting.note_gaps(tally, 5, [4], now=130)
    assert set(tally.gaps) == {3}
    counting.note_gaps(tally, 5, [], now=161)
    assert tally.gaps == {}


def test_another_process_reads_what_was_counted(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    event = make_event()
    make_guest(event)
    first = counts_of(event)
    reset_process_state()
    with django_assert_num_queries(2):
        second = counts_of(event)
    assert shown(first) == shown(second)
    with django_assert_num_queries(0):
        counts_of(event)


def test_the_counts_of_another_release_are_counted_anew() -> None:
    event = make_event()
    make_guest(event)
    counts_of(event)
    reset_process_state()
    connection.cursor().execute("UPDATE guests_nightcounts SET values = '{\"form\": 99}'")
    assert counts_of(event).totals["on_list"] == 1


def test_only_tonights_events_are_counted() -> None:
    now = timezone.now()
    past = make_event(starts_at=now - timedelta(days=2), ends_at=now - timedelta(hours=9))
    ended = make_event(starts_at=now - timedelta(hours=9), ends_at=now - timedelta(hours=7))
    unpublished = make_event(is_published=False)
    later = make_event(
        list_opens_at=now + timedelta(days=2), list_closes_at=now + timedelta(days=3)
    )
    shown_events = [each.event for each in events.read_night().events]
    assert shown_events == [ended]
    for other in (past, unpublished, later):
        found = events.read_event(other.slug)
        assert found is not None
        assert found.event == other
    assert events.read_event("nothing") is None


def test_another_spelling_of_a_link_counts_nothing_again() -> None:
    """Addresses are typed, and capitals are no part of them."""
    event = make_event()
    assert events.read_night().find(event.slug.upper()) == events.read_night().find(event.slug)


def test_an_event_that_is_published_now_is_counted() -> None:
    counts_of(make_event())
    event = make_event()
    make_guest(event)
    events._nights.clear()
    assert counts_of(event).totals["on_list"] == 1
