"""Requests become guests: once, in order and within capacity, also when workers run in parallel."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings
from pytest_django.fixtures import DjangoAssertNumQueries

from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import fill_pool, image_name
from guests.requests.accepting import request_place
from guests.requests.creating import create_due_guests, create_guests_for_event
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from tests.factories import (
    make_account,
    make_accounts,
    make_event,
    make_guest,
    make_request,
    make_staff,
)
from tests.helpers.guards import (
    THREADS,
    at_once,
    slow,
    trigger,
    without_constraint,
    without_locks,
    without_upserts,
)
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db
# Threads have their own connections and see only committed rows.
committed = pytest.mark.django_db(transaction=True)


def ask(event: Event, size: int) -> list[GuestRequest]:
    """Make requests of `size` new accounts, one after another."""
    return [request_place(event, account) for account in make_accounts(size)]


def make_due() -> None:
    GuestRequest.objects.pending().update(next_attempt_at=Now())


def states(event: Event) -> list[str]:
    """Return the states of all guests in the order of their requests."""
    guests = Guest.objects.filter(event=event).order_by("queue_number")
    return list(guests.values_list("state", flat=True))


def test_sixty_people_for_fifty_places_get_fifty_places_and_ten_wait_in_order() -> None:
    event = make_event(capacity=50)
    ask(event, 60)
    assert create_due_guests() == 60
    assert states(event) == ["on_list"] * 50 + ["waiting"] * 10
    waiting = Guest.objects.filter(state="waiting").order_by("queue_number")
    assert [guest.position() for guest in waiting] == list(range(1, 11))
    assert broken_invariants() == []


def test_a_request_ends_with_its_guest_its_qr_code_and_one_email() -> None:
    (request,) = ask(make_event(), 1)
    create_due_guests()
    request.refresh_from_db()
    assert (request.state, request.attempts) == ("created", 0)
    assert request.ended_at is not None
    guest = request.guest
    assert guest is not None
    assert guest.qr_token is not None
    assert (guest.name, guest.phone) == (request.name, request.phone)
    email = Email.objects.get(kind="qr_code")
    assert (email.cause, email.to) == (f"guest:{guest.pk}/1", request.account.email)


def test_a_guest_without_an_address_gets_a_place_and_no_email() -> None:
    guest = make_guest(account=make_account(email=""))
    assert guest.is_on_list
    assert not Email.objects.exists()


def test_a_full_event_without_a_waiting_list_refuses_the_other_requests() -> None:
    event = make_event(capacity=1, has_waiting_list=False)
    requests = ask(event, 3)
    create_due_guests()
    for request in requests:
        request.refresh_from_db()
    assert [request.state for request in requests] == ["created", "refused", "refused"]
    assert requests[1].refusal == "list_full"
    assert broken_invariants() == []


def test_a_request_for_an_event_that_was_cancelled_since_is_refused() -> None:
    event = make_event()
    (request,) = ask(event, 1)
    Event.objects.update(cancelled_at=timezone.now())
    create_due_guests()
    request.refresh_from_db()
    assert (request.state, request.refusal) == ("refused", "event_cancelled")


def test_an_accepted_request_gets_a_place_after_the_list_has_closed() -> None:
    event = make_event()
    (request,) = ask(event, 1)
    Event.objects.update(list_closes_at=timezone.now() - timedelta(minutes=1))
    create_due_guests()
    request.refresh_from_db()
    assert request.state == "created"


def test_a_phone_that_another_guest_has_is_refused() -> None:
    first = make_guest()
    phone = first.phone
    first.account.phone = None
    first.account.save()
    request = make_request(first.event, make_account(phone=phone))
    create_due_guests()
    request.refresh_from_db()
    assert (request.state, request.refusal) == ("refused", "phone_on_list")
    assert broken_invariants() == []


def test_the_first_of_two_requests_with_one_phone_in_a_batch_gets_the_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = make_event()
    first, second = ask(event, 2)
    GuestRequest.objects.filter(pk=second.pk).update(phone=first.phone)
    create_due_guests()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("created", "refused")
    assert second.refusal == "phone_on_list"
    assert "guest_batch_failed" in caplog.text
    assert first.phone not in caplog.text


def test_a_cancelled_guest_who_asks_again_is_last_in_line_and_gets_a_new_code() -> None:
    event = make_event(capacity=1)
    guest, other = make_guest(event), make_guest(event)
    old_token, staff = guest.qr_token, make_staff()
    cancel_guests(guest.event_id, [guest.pk], acting_user=staff)
    again = make_guest(event, guest.account)
    assert (again.pk, again.state, again.qr_token) == (guest.pk, "waiting", None)
    cancel_guests(other.event_id, [other.pk], acting_user=staff)
    again.refresh_from_db()
    assert again.state == "on_list"
    assert again.qr_token not in {None, old_token}
    assert again.listings == 2
    assert Email.objects.filter(kind="qr_code").count() == 3
    assert broken_invariants() == []


def test_the_waiting_list_gets_a_free_place_before_a_new_request() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    Event.objects.update(capacity=2)
    assert make_guest(Event.objects.get()).state == "waiting"
    waiting.refresh_from_db()
    assert waiting.state == "on_list"
    assert broken_invariants() == []


def test_a_batch_of_any_size_needs_the_same_queries(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    fill_pool(40)
    for size in (4, 20):
        event = make_event(capacity=size // 2)
        ask(event, size)
        with django_assert_num_queries(20):
            create_guests_for_event(event.pk)


# Failures ----------------------------------------------------------------------------------------


RAISES_FOR_VENENO = "IF NEW.name = 'Veneno' THEN RAISE 'poison'; END IF; RETURN NEW;"


def test_a_bad_row_does_not_delay_its_batch_and_is_dead_after_its_attempts() -> None:
    event = make_event(capacity=9)
    before = ask(event, 3)
    bad = request_place(event, make_account(), name="Veneno")
    after = ask(event, 3)
    with trigger("guests_guest", "INSERT", RAISES_FOR_VENENO):
        create_due_guests()
        bad.refresh_from_db()
        assert (bad.state, bad.attempts) == ("pending", 1)
        assert 1 < (bad.next_attempt_at - timezone.now()).total_seconds() <= 2
        for request in before + after:
            request.refresh_from_db()
            assert request.state == "created"
        for _ in range(settings.GUEST_REQUEST_ATTEMPTS):
            make_due()
            create_due_guests()
    bad.refresh_from_db()
    assert (bad.state, bad.attempts, bad.guest) == ("dead", 3, None)
    assert bad.ended_at is not None
    event.refresh_from_db()
    assert event.places_taken == 6
    (found,) = broken_invariants()
    assert "failed 3 times (ProgrammingError" in found


def test_a_failure_of_the_database_does_not_use_up_an_attempt() -> None:
    (request,) = ask(make_event(), 1)
    away = "RAISE 'too many connections' USING ERRCODE = '53300';"
    with trigger("guests_guest", "INSERT", away), pytest.raises(OperationalError):
        create_due_guests()
    request.refresh_from_db()
    assert (request.state, request.attempts) == ("pending", 0)
    create_due_guests()
    request.refresh_from_db()
    assert request.state == "created"


def test_the_image_is_stored_before_the_guest_exists(settings: Settings, tmp_path: Path) -> None:
    request_place(make_event(), make_account())
    settings.MEDIA_ROOT = tmp_path / "full"
    settings.MEDIA_ROOT.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="full"):
        create_due_guests()
    assert not Guest.objects.exists()
    settings.MEDIA_ROOT = tmp_path / "free"
    create_due_guests()
    token = Guest.objects.get().qr_token
    assert token is not None
    assert default_storage.exists(image_name(token))


@committed
def test_the_requests_of_events_that_share_the_pool_all_end() -> None:
    events = [make_event() for _ in range(3)]
    for event in events:
        ask(event, 10)
    at_once([create_due_guests] * 3)
    assert not GuestRequest.objects.pending().exists()
    assert broken_invariants() == []


# Races -------------------------------------------------------------------------------------------


@committed
def test_without_the_events_lock_workers_give_more_places_than_there_are(
    settings: Settings,
) -> None:
    settings.GUEST_BATCH_SIZE = 5
    event = make_event(capacity=5)
    ask(event, 15)
    fill_pool(15)
    work = without_locks(lambda: create_guests_for_event(event.pk), "guests_event")
    with slow("guests_guest", "INSERT"):
        at_once([work] * 3)
    assert any("for 5 places" in found for found in broken_invariants())


@committed
def test_with_the_events_lock_workers_keep_capacity_and_order(settings: Settings) -> None:
    settings.GUEST_BATCH_SIZE = 5
    event = make_event(capacity=12)
    ask(event, 30)
    with slow("guests_guest", "INSERT", seconds=0.05):
        at_once([create_due_guests] * 4)
    assert states(event) == ["on_list"] * 12 + ["waiting"] * 18
    assert not GuestRequest.objects.pending().exists()
    assert broken_invariants() == []


@committed
def test_without_upserts_and_locks_workers_double_guests() -> None:
    event = make_event()
    ask(event, 5)
    fill_pool(20)
    work = without_upserts(without_locks(lambda: create_guests_for_event(event.pk)))
    with (
        without_constraint("guests_guest", "guests_one_place_per_account"),
        without_constraint("guests_guest", "guests_one_place_per_phone"),
        without_constraint("guests_guest", "guests_guest_qr_token_key"),
        slow("guests_guest", "INSERT"),
    ):
        at_once([work] * 2)
        assert any("guests with one account" in found for found in broken_invariants())


@committed
def test_with_upserts_and_locks_workers_make_each_guest_once(settings: Settings) -> None:
    settings.GUEST_BATCH_SIZE = 7
    events = [make_event(capacity=20), make_event(capacity=50)]
    for event in events:
        ask(event, 30)
    with slow("guests_guest", "INSERT", seconds=0.02):
        at_once([create_due_guests] * THREADS)
    assert Guest.objects.count() == GuestRequest.objects.exclude(guest=None).count() == 60
    assert Email.objects.count() == 60
    assert broken_invariants() == []


@committed
def test_requests_that_arrive_while_a_worker_is_busy_are_ended() -> None:
    event = make_event(capacity=3)
    ask(event, 1)
    newcomers = make_accounts(8)

    def arrive() -> None:
        for account in newcomers:
            request_place(event, account)
            work()

    def work() -> None:
        create_due_guests(pause=0.02)

    with slow("guests_guest", "INSERT", seconds=0.03):
        at_once([work, arrive])
    assert not GuestRequest.objects.pending().exists()
    assert states(event) == ["on_list"] * 3 + ["waiting"] * 6


@committed
def test_a_worker_killed_in_a_batch_leaves_no_partial_work() -> None:
    event = make_event()
    ask(event, 3)
    killed = "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL;"

    def work() -> str:
        try:
            create_due_guests()
        except OperationalError:
            return "cut"
        return ""

    with trigger("guests_guest", "INSERT", killed, each="STATEMENT"):
        assert at_once([work]) == ["cut"]
    assert not Guest.objects.exists()
    assert set(GuestRequest.objects.values_list("state", "attempts")) == {("pending", 0)}
    create_due_guests()
    assert Guest.objects.count() == 3
    assert broken_invariants() == []
    connection.ensure_connection()
