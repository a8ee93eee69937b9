"""Many places at once: a raised capacity, cancellations and replays, in batches."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import User
from guests.models import Event, Guest, GuestRequest, StateChange
from guests.requests.creating import create_due_guests
from guests.requests.waiting_list import PLACES_BATCH, cancel_guests, fill_free_places
from notifications.models import Email
from tests.factories import make_accounts, make_event, make_guest, make_request, make_staff
from tests.helpers.admin import admin_url, change_event
from tests.helpers.guards import THREADS, at_once, slow
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 2 * PLACES_BATCH + 50


def make_line(size: int, *, capacity: int = 0) -> Event:
    """Make an event with a waiting list. Its guests are made without workers."""
    event = make_event(capacity=capacity)
    accounts = make_accounts(size)
    requests = GuestRequest.objects.bulk_create(
        GuestRequest(
            event=event, account=a, phone=a.phone or "", name=a.name, next_attempt_at=Now()
        )
        for a in accounts
    )
    guests = Guest.objects.bulk_create(
        Guest(
            event=event,
            account=request.account,
            phone=request.phone,
            name=request.name,
            state=Guest.State.WAITING,
            queue_number=request.pk,
        )
        for request in requests
    )
    for request, guest in zip(requests, guests, strict=True):
        request.guest, request.state, request.ended_at = guest, "waitlisted", Now()
    GuestRequest.objects.bulk_update(requests, ["guest", "state", "ended_at"])
    Email.objects.bulk_create(
        Email(kind="waitlisted", cause=f"guest:{guest.pk}/0", to="a@example.com", state="sent")
        for guest in guests
    )
    return event


def on_list(event: Event) -> int:
    return Guest.objects.filter(event=event, state=Guest.State.ON_LIST).count()


def messages_of(admin: Client) -> str:
    page = admin.get(admin_url("guests_event_changelist"))
    return " ".join(str(message) for message in page.context["messages"])


# Raising a capacity ------------------------------------------------------------------------------


@pytest.mark.slow
def test_staff_wait_for_one_batch_and_the_sweeper_fills_the_other_places(admin: Client) -> None:
    event = make_line(MANY)
    assert change_event(admin, event, capacity=MANY).status_code == 302
    assert on_list(event) == PLACES_BATCH
    messages = messages_of(admin)
    assert f"{PLACES_BATCH} pessoas que esperavam já têm lugar." in messages
    assert "nos próximos segundos aos outros" in messages
    call_command("sweeper", once=True)
    assert on_list(event) == MANY
    assert Email.objects.filter(kind="qr_code").count() == MANY
    assert broken_invariants() == []


def test_the_message_does_not_mention_the_sweeper_when_all_places_are_given(admin: Client) -> None:
    event = make_line(2)
    assert change_event(admin, event, capacity=2).status_code == 302
    messages = messages_of(admin)
    assert "2 pessoas que esperavam já têm lugar." in messages
    assert "próximos segundos" not in messages


@pytest.mark.slow
def test_a_deadline_after_the_commit_is_no_error(admin: Client, settings: Settings) -> None:
    event = make_line(3)
    settings.DATABASE_PAGE_SECONDS = 2.0
    with slow("guests_guest", "UPDATE", seconds=4):
        response = change_event(admin, event, capacity=3)
    settings.DATABASE_PAGE_SECONDS = 30.0
    event.refresh_from_db()
    assert (response.status_code, event.capacity) == (302, 3)
    assert "nos próximos segundos" in messages_of(admin)
    call_command("sweeper", once=True)
    assert on_list(event) == 3


def test_a_batch_of_any_size_needs_the_same_queries() -> None:
    def queries(size: int) -> int:
        event = make_line(size)
        Event.objects.filter(pk=event.pk).update(capacity=size)
        event.refresh_from_db()
        with CaptureQueriesContext(connection) as captured:
            assert fill_free_places(event) == size
        return len(captured)

    assert queries(3) == queries(60)


@pytest.mark.slow
def test_a_short_list_is_not_delayed_by_a_long_one() -> None:
    long, short = make_line(MANY, capacity=MANY), make_line(1, capacity=1)
    call_command("sweeper", once=True)
    assert (on_list(long), on_list(short)) == (MANY, 1)
    promoted = StateChange.objects.filter(to_state="on_list")
    ends = {
        event.pk: promoted.filter(guest__event=event)
        .order_by("-id")
        .values_list("id", flat=True)[0]
        for event in (long, short)
    }
    assert ends[short.pk] < ends[long.pk]


def test_a_new_request_does_not_overtake_guests_who_are_owed_a_place() -> None:
    event = make_line(MANY, capacity=MANY + 1)
    late = make_request(event)
    create_due_guests()
    late.refresh_from_db()
    assert late.state == "created"
    assert on_list(event) == MANY + 1
    assert broken_invariants() == []


@pytest.mark.slow
def test_raising_creating_and_cancelling_at_once_keep_order_and_capacity() -> None:
    event, staff = make_line(150, capacity=20), make_staff()
    fill_free_places(event)
    first = list(Guest.objects.filter(event=event, state="on_list").values_list("pk", flat=True))
    for _ in range(30):
        make_request(event)

    def raise_capacity() -> object:
        Event.objects.filter(pk=event.pk).update(capacity=120)
        return fill_free_places(Event.objects.get(pk=event.pk))

    def cancel() -> object:
        return cancel_guests(event.pk, first, acting_user=staff)

    works: list[Any] = [raise_capacity, create_due_guests, cancel, cancel, create_due_guests]
    assert len(works) <= THREADS
    with slow("guests_event", "UPDATE", seconds=0.05):
        at_once(works)
    call_command("sweeper", once=True)
    create_due_guests()
    assert on_list(event) == 120
    assert Guest.objects.filter(event=event, state="cancelled").count() == len(first)
    assert broken_invariants() == []


# Cancelling many ---------------------------------------------------------------------------------


def cancel_all(admin: Client) -> Any:
    form = {
        "action": "cancel",
        "_selected_action": Guest.objects.values_list("pk", flat=True)[0],
        "select_across": "1",
        "confirmed": "yes",
    }
    return admin.post(admin_url("guests_guest_changelist"), form)


@pytest.mark.slow
def test_many_guests_are_cancelled_in_batches(admin: Client) -> None:
    event = make_line(MANY, capacity=MANY)
    call_command("sweeper", once=True)
    other = make_guest()
    assert cancel_all(admin).status_code == 302
    assert set(Guest.objects.values_list("state", flat=True)) == {"cancelled"}
    assert f"{MANY + 1} convidados cancelados." in messages_of(admin)
    for each in (event, other.event):
        each.refresh_from_db()
        assert each.places_taken == 0


@pytest.mark.slow
def test_the_message_after_a_deadline_says_how_many_were_cancelled(
    admin: Client, settings: Settings
) -> None:
    event = make_line(MANY, capacity=MANY)
    call_command("sweeper", once=True)
    settings.DATABASE_PAGE_SECONDS = 4.0
    with slow("guests_guest", "UPDATE", seconds=2.2):
        response = cancel_all(admin)
    settings.DATABASE_PAGE_SECONDS = 30.0
    assert response.status_code == 302
    assert on_list(event) == MANY - PLACES_BATCH
    messages = messages_of(admin)
    assert f"{PLACES_BATCH} convidados cancelados." in messages
    assert "escolhe-os de novo" in messages


def test_the_code_of_a_cancelled_guest_stops_working_at_once(manager: User) -> None:
    guest = make_guest()
    assert cancel_guests(guest.event_id, [guest.pk, guest.pk], acting_user=manager) == 1
    assert cancel_guests(guest.event_id, [guest.pk], acting_user=manager) == 0
    guest.refresh_from_db()
    assert guest.qr_token is None


# Replaying many ----------------------------------------------------------------------------------


def test_many_dead_requests_are_replayed_in_few_statements(manager: User, admin: Client) -> None:
    event = make_event()
    requests = [make_request(event) for _ in range(20)]
    GuestRequest.objects.update(state="dead", ended_at=Now())
    again = make_request(event, requests[0].account)
    form = {"action": "replay", "_selected_action": [request.pk for request in requests]}
    assert admin.post(admin_url("guests_guestrequest_changelist"), form).status_code == 302
    assert GuestRequest.objects.filter(state="dead").get() == requests[0]
    assert GuestRequest.objects.pending().count() == 20
    assert again.pk
    assert "19 pedidos tentados outra vez." in messages_of(admin)
