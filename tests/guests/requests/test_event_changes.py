"""Changes of events: recorded by the database, and told to the holders of places."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import User
from guests.models import Event, EventChange, Guest, GuestRequest, RevokedQr
from guests.requests.creating import create_due_guests
from guests.requests.event_changes import cancel_event, change_event, reinstate_event
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from tests.factories import make_event, make_guest, make_request, make_staff, with_database_time
from tests.helpers.emails import send_all
from tests.helpers.pushes import listening

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def changes_of(event: Event) -> list[tuple[str, str, str]]:
    changes = EventChange.objects.filter(event=event).order_by("pk")
    return [(change.field, change.from_value, change.to_value) for change in changes]


def test_a_change_is_in_the_history_with_its_actor(manager: User) -> None:
    event = make_event(venue="Sala", capacity=10)
    event.venue, event.capacity = "Praia", 20
    change = change_event(event, ["venue", "capacity"], acting_user=manager)
    assert set(changes_of(event)) == {("venue", "Sala", "Praia"), ("capacity", "10", "20")}
    actors = set(EventChange.objects.values_list("actor", flat=True))
    assert actors == {f"account:{manager.pk}"}
    assert (change.is_moved, change.is_cancelled, change.is_reinstated) == (True, False, False)
    assert event.sequence == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE guests_eventchange SET actor = 'nobody'", "DELETE FROM guests_eventchange"],
)
def test_the_database_refuses_to_change_the_history(statement: str) -> None:
    Event.objects.filter(pk=make_event().pk).update(title="Outro")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)
    with pytest.raises(TypeError):
        EventChange().save()


@pytest.mark.parametrize(
    ("changes", "raises"),
    [
        ({"title": "Outro"}, True),
        ({"slug": "outro"}, True),
        ({"venue": "Praia"}, True),
        ({"address": "Rua 1"}, True),
        ({"time_zone": "Asia/Kolkata"}, True),
        ({"ends_at": timezone.now() + 300 * HOUR}, True),
        ({"cancelled_at": timezone.now()}, True),
        ({"capacity": 9}, False),
        ({"description": "Texto"}, False),
        ({"places_taken": 1}, False),
        ({"list_closes_at": timezone.now() + 3 * HOUR}, False),
    ],
)
def test_the_revision_grows_with_each_change_that_a_calendar_shows(
    changes: dict[str, Any], raises: bool
) -> None:
    event = make_event()
    first = event.changed_at
    Event.objects.filter(pk=event.pk).update(**changes)
    event.refresh_from_db()
    assert event.sequence == int(raises)
    assert first is not None
    assert event.changed_at is not None
    assert (event.changed_at > first) is raises


def test_the_event_keeps_when_and_where_it_was() -> None:
    event = make_event(venue="Sala", address="Rua 1")
    start = event.starts_at
    Event.objects.filter(pk=event.pk).update(starts_at=start - HOUR)
    Event.objects.filter(pk=event.pk).update(venue="Praia", address="")
    Event.objects.filter(pk=event.pk).update(title="Outro", ends_at=event.ends_at + HOUR)
    event.refresh_from_db()
    known = event.moved_since(timezone.now() - HOUR)
    assert known is not None
    assert (known.starts_at, known.venue, known.address) == (start, "Sala", "Rua 1")
    assert len(event.moves) == 2
    assert event.moved_since(timezone.now() + HOUR) is None


def test_a_draft_keeps_no_moves_and_a_published_event_keeps_twenty() -> None:
    draft, event = make_event(is_published=False), make_event()
    for number in range(25):
        Event.objects.update(venue=f"Sala {number}")
    draft.refresh_from_db()
    event.refresh_from_db()
    assert draft.moves == []
    assert [move["venue"] for move in event.moves] == [f"Sala {n}" for n in range(4, 24)]


def test_a_process_that_saves_an_old_copy_undoes_no_revision() -> None:
    event = make_event()
    stale = Event.objects.get(pk=event.pk)
    Event.objects.filter(pk=event.pk).update(venue="Praia")
    stale.venue = "Praia"
    stale.save()
    event.refresh_from_db()
    assert (event.sequence, len(event.moves)) == (1, 1)


# Cancelling and reinstating -----------------------------------------------------------------------


def test_cancelling_and_reinstating_happen_once_each(manager: User) -> None:
    guest = make_guest()
    event = with_database_time(guest.event)
    assert cancel_event(event, acting_user=manager)
    assert not cancel_event(event, acting_user=manager)
    assert with_database_time(event).phase() == "cancelled"
    assert reinstate_event(event, acting_user=manager)
    assert not reinstate_event(event, acting_user=manager)
    guest.refresh_from_db()
    assert (guest.state, event.sequence) == ("on_list", 2)


def test_a_pending_request_for_a_cancelled_event_is_refused(manager: User) -> None:
    request = make_request()
    cancel_event(request.event, acting_user=manager)
    create_due_guests()
    assert GuestRequest.objects.get().refusal == "event_cancelled"


@pytest.mark.django_db(transaction=True)
def test_a_code_that_was_not_sent_for_a_cancelled_event_is_sent_when_it_takes_place() -> None:
    manager, guest = make_staff(), make_guest()
    email = Email.objects.get(kind="qr_code")
    cancel_event(guest.event, acting_user=manager)
    send_all()
    email.refresh_from_db()
    assert email.state == "cancelled"
    reinstate_event(guest.event, acting_user=manager)
    send_all()
    email.refresh_from_db()
    assert email.state == "sent"


def by_service(event: Event, manager: User) -> None:
    cancel_event(event, acting_user=manager)


def by_reinstating(event: Event, manager: User) -> None:
    Event.objects.filter(pk=event.pk).update(cancelled_at=timezone.now())
    reinstate_event(event, acting_user=manager)


def by_moving(event: Event, manager: User) -> None:
    event.venue = "Praia"
    change_event(event, ["venue"], acting_user=manager)


@pytest.mark.parametrize("change", [by_service, by_reinstating, by_moving])
@pytest.mark.django_db(transaction=True)
def test_open_pages_hear_of_a_change_once(change: Callable[[Event, User], None]) -> None:
    manager, event = make_staff(), make_event()
    with listening() as receive:
        change(event, manager)
        assert receive(1) == [(f"event.{event.pk}", {"type": "event.changed"})]


@pytest.mark.django_db(transaction=True)
def test_a_change_that_holders_do_not_see_is_not_pushed() -> None:
    manager, event = make_staff(), make_event()
    event.capacity = 60
    with listening() as receive:
        change_event(event, ["capacity"], acting_user=manager)
        assert receive(0) == []


# Guests -------------------------------------------------------------------------------------------


def test_a_revoked_token_still_leads_to_its_guest(manager: User) -> None:
    guest = make_guest()
    token = guest.qr_token or ""
    assert Guest.objects.with_token(token) == guest
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    assert RevokedQr.objects.get().token == token
    assert Guest.objects.with_token(token) == guest
    assert Guest.objects.with_token("nobody-has-this") is None


@pytest.mark.parametrize("ending", [None, *Guest.Ending])
def test_a_cancelled_guest_keeps_the_reason_until_a_place_is_given_again(
    manager: User, ending: Guest.Ending | None
) -> None:
    guest = make_guest()
    options: dict[str, Any] = {}
    if ending is Guest.Ending.GIVEN_BACK:
        Guest.objects.filter(pk=guest.pk).update(leaves_at=timezone.now())
    if ending:
        options = {"ending": ending}
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager, **options)
    guest.refresh_from_db()
    assert guest.ending == (ending or "removed")
    assert guest.state_since is not None
    again = make_guest(guest.event, guest.account)
    again.refresh_from_db()
    assert (again.pk, again.ending, again.moved_to) == (guest.pk, "", None)


def test_the_previous_release_cancels_without_a_reason_and_it_counts_as_removed() -> None:
    guest = make_guest()
    Guest.objects.filter(pk=guest.pk).update(state="cancelled", qr_token=None)
    guest.refresh_from_db()
    assert guest.ending == "removed"


def test_a_promoted_guest_is_marked_and_another_is_not(manager: User) -> None:
    first = make_guest(make_event(capacity=1))
    waiting = make_guest(first.event)
    cancel_guests(first.event_id, [first.pk], acting_user=manager)
    waiting.refresh_from_db()
    assert waiting.is_promoted
    again = make_guest(first.event, first.account)
    assert not again.is_promoted
