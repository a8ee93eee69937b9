"""Changes of an event, its workers and two sweepers at once: one email a person and change."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import IntegrityError, connection
from django.db.models import F

from accounts.models import User
from guests.models import Event, EventNews, Guest, GuestRequest
from guests.news.announcing import announce
from guests.requests.creating import create_due_guests
from guests.requests.event_changes import cancel_event, change_event
from notifications.models import Email
from tests.factories import (
    make_account,
    make_event,
    make_guest,
    make_request,
    make_staff,
    with_database_time,
)
from tests.helpers.emails import send_all
from tests.helpers.event_news import announce_all, edit, news_of, note_sent
from tests.helpers.guards import (
    at_once,
    held_up,
    slow,
    without_advisory_locks,
    without_upserts,
)
from tests.helpers.programs import running_command
from tests.helpers.stack import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def event_with(guests: int) -> Event:
    event = make_event()
    for _number in range(guests):
        make_guest(event)
    note_sent()
    return event


def emails_by_guest() -> Counter[str]:
    emails = Email.objects.filter(kind__in=["event_changed", "event_cancelled"])
    return Counter(cause.rpartition("/")[2] for cause in emails.values_list("cause", flat=True))


def test_who_got_a_place_before_the_cancellation_hears_of_it_and_no_other() -> None:
    manager, event = make_staff(), make_event()
    for _number in range(12):
        make_request(event)

    def create() -> object:
        return create_due_guests()

    def cancel() -> object:
        return cancel_event(with_database_time(event), acting_user=manager)

    with slow("guests_guest", "INSERT", seconds=0.05):
        at_once([create, cancel, create])
    create_due_guests()
    states = Counter(GuestRequest.objects.values_list("state", flat=True))
    assert states["created"] + states["refused"] == 12
    announce_all()
    placed = set(Guest.objects.filter(state="on_list").values_list("pk", flat=True))
    assert len(placed) == states["created"]
    assert emails_by_guest() == Counter({str(pk): 1 for pk in placed})
    send_all()
    assert not Email.objects.filter(kind="qr_code", state="queued").exists()


def test_two_staff_who_change_at_once_send_one_email_that_says_both() -> None:
    staff, event = [make_staff(), make_staff()], event_with(2)

    def move(acting_user: User) -> object:
        changed = with_database_time(event)
        changed.venue = "Praia"
        return change_event(changed, ["venue"], acting_user=acting_user)

    def rename(acting_user: User) -> object:
        changed = with_database_time(event)
        changed.title = "Noite de Fado"
        return change_event(changed, ["title"], acting_user=acting_user)

    at_once([lambda: move(staff[0]), lambda: rename(staff[1])])
    announce_all()
    assert list(emails_by_guest().values()) == [1, 1]
    state = EventNews.objects.get().state
    assert (state["venue"], state["title"]) == ("Praia", "Noite de Fado")


def test_of_two_sweepers_one_tells() -> None:
    manager, event = make_staff(), event_with(3)

    def work() -> int:
        return announce(event.pk)

    edit(event, manager, venue="Praia")
    with slow("notifications_email", "INSERT"):
        assert sorted(at_once([without_upserts(work)] * 2)) == [0, 3]
    edit(event, manager, venue="Sala")
    unguarded = without_upserts(without_advisory_locks(work))
    with slow("notifications_email", "INSERT"), pytest.raises(IntegrityError):
        at_once([unguarded] * 2)
    assert set(emails_by_guest().values()) == {2}


def test_a_change_during_the_round_is_told_instead() -> None:
    manager, event = make_staff(), event_with(3)
    edit(event, manager, venue="Praia")
    with held_up("notifications_email") as release, ThreadPoolExecutor(1) as other:
        round_of_emails = other.submit(tell, event)
        wait_for(is_telling)
        Event.objects.filter(pk=event.pk).update(venue="Armazém")
        release()
        assert round_of_emails.result() == 0
    assert not Email.objects.filter(kind="event_changed").exists()
    announce_all()
    assert EventNews.objects.get().state["venue"] == "Armazém"
    assert set(emails_by_guest().values()) == {1}


def test_workers_give_places_while_guests_are_told() -> None:
    manager, event = make_staff(), event_with(1)
    edit(event, manager, venue="Praia")
    late = make_request(event, make_account(email=""))
    with held_up("notifications_email") as release, ThreadPoolExecutor(1) as other:
        round_of_emails = other.submit(tell, event)
        wait_for(is_telling)
        assert create_due_guests() == 1
        release()
        assert round_of_emails.result() == 1
    guest = GuestRequest.objects.get(pk=late.pk).guest
    assert guest is not None
    assert news_of(guest) == []


@pytest.mark.slow
def test_a_sweeper_that_is_killed_in_the_round_leaves_no_half(tmp_path: Path) -> None:
    manager, event = make_staff(), event_with(4)
    edit(event, manager, venue="Praia")
    variables = {"EVENT_NEWS_DELAY": "0.01", "JOURNAL_PATH": str(tmp_path / "journal.sqlite3")}
    with (
        held_up("notifications_email"),
        running_command("sweeper", log=tmp_path / "log", **variables) as sweeper,
    ):
        wait_for(is_telling, timeout=30)
        sweeper.send_signal(signal.SIGKILL)
        sweeper.wait()
    wait_for(lambda: not is_telling())
    assert not Email.objects.filter(kind="event_changed").exists()
    assert not Event.objects.filter(told_sequence=F("sequence")).exists()
    announce_all()
    assert list(emails_by_guest().values()) == [1] * 4


def tell(event: Event) -> int:
    """Tell the guests of an event in a thread of its own."""
    try:
        return announce(event.pk)
    finally:
        connection.close()


def is_telling() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE '%%event_changed%%' AND state <> 'idle' AND pid <> pg_backend_pid()"
        )
        (number,) = cursor.fetchone()
    return bool(number)
