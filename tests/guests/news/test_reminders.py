"""Reminders the day before: when, to whom, and once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.models import BlockedPhone, User
from guests.models import Event, Guest
from guests.news import reminders
from guests.news.emails import night_of
from guests.news.reminders import events_to_remind_of, is_daytime, queue_reminders
from notifications.kinds import bulk_kinds
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, with_database_time
from tests.helpers.emails import send_all
from tests.helpers.event_news import announce_all, edit, never, note_sent

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def zone_where_it_is(hour: int) -> str:
    """Return a time zone in which it is that hour now."""
    offset = (hour - datetime.now(UTC).hour) % 24
    if offset > 12:
        offset -= 24
    # The signs of these names are those of POSIX.
    return f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"


def remindable(**fields: Any) -> Guest:
    """Make a guest of three days ago, at an event in 20 hours where it is noon now."""
    now = timezone.now()
    given = {
        "sends_reminder": True,
        "starts_at": now + 20 * HOUR,
        "ends_at": now + 26 * HOUR,
        "time_zone": zone_where_it_is(12),
    }
    guest = make_guest(make_event(**given | fields), make_account(language="en"))
    placed_ago(guest, 72)
    note_sent()
    return guest


def placed_ago(guest: Guest, hours: float) -> None:
    Guest.objects.filter(pk=guest.pk).update(created_at=timezone.now() - hours * HOUR)


def remind() -> list[str]:
    """Run the sweep and send all emails. Return the addresses that got a reminder."""
    queue_reminders(never)
    mail.outbox.clear()
    send_all()
    return [message.to[0] for message in mail.outbox]


def test_a_guest_is_reminded_once() -> None:
    guest = remindable(title="Noite de Fado")
    call_command("sweeper", once=True)
    email = Email.objects.get(kind="reminder")
    night = night_of(guest.event)
    assert email.cause == f"guest:{guest.pk}/1/{night}"
    assert remind() == [guest.account.email]
    (message,) = mail.outbox
    assert "Noite de Fado" in message.subject
    assert "/guest/" in str(message.body)
    assert remind() == []


@pytest.mark.parametrize(
    ("hours", "is_due"), [(25, False), (23.9, True), (12, True), (2.1, True), (1.9, False)]
)
def test_reminders_go_out_from_a_day_until_two_hours_before(hours: float, is_due: bool) -> None:
    start = timezone.now() + hours * HOUR
    guest = remindable(starts_at=start, ends_at=start + 6 * HOUR)
    assert remind() == ([guest.account.email] if is_due else [])


@pytest.mark.parametrize(
    ("time", "is_due"),
    [("08:59", False), ("09:00", True), ("20:59", True), ("21:00", False), ("03:00", False)],
)
@pytest.mark.parametrize("zone", ["Europe/Lisbon", "Asia/Kolkata", "Atlantic/Azores"])
def test_reminders_go_out_by_day_where_the_event_is(zone: str, time: str, is_due: bool) -> None:
    event = Event(time_zone=zone)
    event.database_now = datetime.fromisoformat(f"2030-03-31T{time}").replace(tzinfo=event.zone)
    assert is_daytime(event) is is_due


def test_by_night_nothing_is_queued() -> None:
    remindable(time_zone=zone_where_it_is(3))
    assert events_to_remind_of() == []


def test_no_event_sends_reminders_by_itself() -> None:
    assert not make_event().sends_reminder


def switched_off(guest: Guest) -> None:
    Event.objects.update(sends_reminder=False)


def unpublished(guest: Guest) -> None:
    Event.objects.update(is_published=False)


def cancelled(guest: Guest) -> None:
    Event.objects.update(cancelled_at=timezone.now())


def unannounced_change(guest: Guest) -> None:
    Event.objects.update(venue="Praia")


def registered_lately(guest: Guest) -> None:
    placed_ago(guest, 3)


def waiting(guest: Guest) -> None:
    Guest.objects.update(state="waiting", qr_token=None)


def removed(guest: Guest) -> None:
    Guest.objects.update(state="cancelled", qr_token=None)


def leaving(guest: Guest) -> None:
    Guest.objects.update(leaves_at=timezone.now() + HOUR)


def arrived(guest: Guest) -> None:
    Guest.objects.update(checked_in_at=timezone.now())


def unproven(guest: Guest) -> None:
    Event.objects.update(requires_proof=True)


def without_email(guest: Guest) -> None:
    User.objects.filter(pk=guest.account_id).update(email="")


def blocked(guest: Guest) -> None:
    BlockedPhone.objects.create(phone=guest.phone or "", reason="test")


EXCEPTIONS = [
    switched_off,
    unpublished,
    cancelled,
    unannounced_change,
    registered_lately,
    waiting,
    removed,
    leaving,
    arrived,
    unproven,
    without_email,
    blocked,
]


@pytest.mark.parametrize("change", EXCEPTIONS)
def test_who_needs_no_reminder_gets_none(change: Callable[[Guest], None]) -> None:
    guest = remindable()
    change(guest)
    assert remind() == []
    assert not Email.objects.filter(kind="reminder").exists()


@pytest.mark.parametrize("change", [switched_off, cancelled, waiting, removed, leaving, unproven])
def test_a_reminder_that_is_no_longer_wanted_is_not_sent(
    change: Callable[[Guest], None],
) -> None:
    """The change came between queueing and sending."""
    guest = remindable()
    queue_reminders(never)
    change(guest)
    assert remind() == []
    assert Email.objects.get(kind="reminder").state == "cancelled"


def test_an_event_that_has_begun_needs_no_reminder() -> None:
    remindable()
    queue_reminders(never)
    Event.objects.update(starts_at=timezone.now())
    assert remind() == []


def test_a_moved_event_has_a_reminder_of_its_own_day(manager: User) -> None:
    guest = remindable()
    queue_reminders(never)
    start = guest.event.starts_at
    edit(guest.event, manager, starts_at=start + 48 * HOUR, ends_at=start + 54 * HOUR)
    announce_all()
    assert remind() == [guest.account.email]
    (message,) = mail.outbox
    assert guest.event.title in message.subject
    assert Email.objects.get(kind="reminder").state == "cancelled"
    with connection.cursor() as cursor:
        values: list[Any] = [
            night_of(with_database_time(guest.event)),
            guest.event_id,
            timezone.now(),
        ]
        cursor.execute(reminders.UNREMINDED, [*values, False, 9])
        assert len(cursor.fetchall()) == 1


def test_a_move_within_the_night_repeats_no_reminder(manager: User) -> None:
    now = timezone.now()
    # 23:30 there.
    zone = zone_where_it_is(12)
    event = Event(time_zone=zone, starts_at=now, ends_at=now)
    noon = event.local_start.replace(hour=12, minute=0)
    late = noon + 11.5 * HOUR
    guest = remindable(starts_at=late, ends_at=late + 6 * HOUR, time_zone=zone)
    assert remind() == [guest.account.email]
    edit(guest.event, manager, starts_at=late + 2 * HOUR, ends_at=late + 8 * HOUR)
    announce_all()
    send_all()
    assert queue_reminders(never) == 0


def test_reminders_can_be_unsubscribed_from() -> None:
    assert "reminder" in bulk_kinds()
    assert not {"event_changed", "event_cancelled", "place_to_prove"} & set(bulk_kinds())


def test_batches_end_where_the_last_one_ended() -> None:
    """A sweeper that stops leaves the rest to the next one."""
    guest = remindable()
    for _number in range(4):
        placed_ago(make_guest(guest.event), 72)
    stops = iter([False, True])
    assert queue_reminders(lambda: next(stops), batch_size=2) == 2
    assert queue_reminders(never, batch_size=2) == 3
    assert Email.objects.filter(kind="reminder").count() == 5


def test_the_search_reads_the_emails_by_their_index() -> None:
    guest = remindable()
    event = with_database_time(guest.event)
    values: list[Any] = [night_of(event), event.pk, event.starts_at, False, 1000]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {reminders.UNREMINDED}", values)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "email_once_per_cause" in plan
