"""Every change of state is in the history with its actor. The history cannot be changed."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import User
from guests.actor import acting_as
from guests.models import Guest, GuestRequest, StateChange
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_event, make_guest

pytestmark = pytest.mark.django_db


def changes_of(**of: Guest | GuestRequest) -> list[tuple[str, str, str]]:
    changes = StateChange.objects.filter(**of).order_by("pk")
    return [(change.from_state, change.to_state, change.actor) for change in changes]


def process_name() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW application_name")
        return str(cursor.fetchone()[0])


def test_the_changes_of_a_request_and_its_guest_name_the_process() -> None:
    guest = make_guest()
    request = GuestRequest.objects.get()
    name = process_name()
    assert name.startswith("snap-")
    assert changes_of(request=request) == [("", "pending", name), ("pending", "created", name)]
    assert changes_of(guest=guest) == [("", "on_list", name)]


def test_a_change_by_staff_names_their_account(manager: User) -> None:
    event = make_event(capacity=1)
    guest, waiting = make_guest(event), make_guest(event)
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    actor = f"account:{manager.pk}"
    assert changes_of(guest=guest)[-1] == ("on_list", "cancelled", actor)
    assert changes_of(guest=waiting)[-1] == ("waiting", "on_list", actor)


@pytest.mark.django_db(transaction=True)
def test_the_actor_is_reset_after_the_transaction(manager: User) -> None:
    with acting_as(manager):
        pass
    guest = make_guest()
    assert changes_of(guest=guest) == [("", "on_list", process_name())]


def test_checking_in_and_undoing_it_are_in_the_history(guest: Guest) -> None:
    Guest.objects.update(checked_in_at=timezone.now())
    Guest.objects.update(checked_in_at=None)
    changes = [(before, after) for before, after, _ in changes_of(guest=guest)]
    assert changes == [("", "on_list"), ("on_list", "checked_in"), ("checked_in", "on_list")]


def test_an_update_without_a_change_of_state_is_not_in_the_history(guest: Guest) -> None:
    Guest.objects.update(name="Outro Nome", state="on_list")
    assert len(changes_of(guest=guest)) == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE guests_statechange SET actor = 'nobody'", "DELETE FROM guests_statechange"],
)
def test_the_database_refuses_to_change_history(guest: Guest, statement: str) -> None:
    before = changes_of(guest=guest)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert changes_of(guest=guest) == before


def test_code_cannot_write_the_history(guest: Guest) -> None:
    with pytest.raises(TypeError):
        StateChange(guest=guest, to_state="cancelled", actor="nobody").save()
