"""Every change of state leaves who, when, from and to; what is written stays."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import User
from guests.actor import acting_as
from guests.models import Guest, GuestRequest, StateChange
from guests.requests.places import cancel_guests
from tests.factories import make_event, make_guest

pytestmark = pytest.mark.django_db


def lines(**of: Guest | GuestRequest) -> list[tuple[str, str, str]]:
    changes = StateChange.objects.filter(**of).order_by("pk")
    return [(change.from_state, change.to_state, change.actor) for change in changes]


def process_name() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW application_name")
        return str(cursor.fetchone()[0])


def test_a_request_and_its_guest_leave_lines_that_name_the_process() -> None:
    guest = make_guest()
    request = GuestRequest.objects.get()
    name = process_name()
    assert name.startswith("snap-")
    assert lines(request=request) == [("", "pending", name), ("pending", "created", name)]
    assert lines(guest=guest) == [("", "on_list", name)]


def test_what_staff_do_names_their_account(manager: User) -> None:
    event = make_event(capacity=1)
    guest, waiting = make_guest(event), make_guest(event)
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    who = f"account:{manager.pk}"
    assert lines(guest=guest)[-1] == ("on_list", "cancelled", who)
    assert lines(guest=waiting)[-1] == ("waiting", "on_list", who)


@pytest.mark.django_db(transaction=True)
def test_who_acted_is_forgotten_after_the_transaction(manager: User) -> None:
    with acting_as(manager):
        pass
    guest = make_guest()
    assert lines(guest=guest) == [("", "on_list", process_name())]


def test_checking_in_and_undoing_it_are_changes(guest: Guest) -> None:
    Guest.objects.update(checked_in_at=timezone.now())
    Guest.objects.update(checked_in_at=None)
    changes = [(before, after) for before, after, _ in lines(guest=guest)]
    assert changes == [("", "on_list"), ("on_list", "checked_in"), ("checked_in", "on_list")]


def test_an_update_that_changes_no_state_leaves_no_line(guest: Guest) -> None:
    Guest.objects.update(name="Outro Nome", state="on_list")
    assert len(lines(guest=guest)) == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE guests_statechange SET actor = 'nobody'", "DELETE FROM guests_statechange"],
)
def test_the_database_refuses_to_change_history(guest: Guest, statement: str) -> None:
    before = lines(guest=guest)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert lines(guest=guest) == before


def test_nobody_writes_history_by_hand(guest: Guest) -> None:
    with pytest.raises(TypeError):
        StateChange(guest=guest, to_state="cancelled", actor="nobody").save()
