"""Checking guests in: once, by name, and only while staff have not turned it off."""

import pytest
from django.test import Client

from accounts.models import User
from guests.door.services import check_in_guest, undo_check_in
from guests.exceptions import GuestError
from guests.models import Event, Guest, StateChange
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.guards import at_once
from tests.helpers.switches import turn_off, turn_on

pytestmark = pytest.mark.django_db


def refusal(guest: Guest, staff: User) -> str:
    try:
        check_in_guest(guest, acting_user=staff)
    except GuestError as error:
        return error.code
    return ""


def test_a_guest_is_checked_in_once_and_the_history_says_by_whom(guest: Guest) -> None:
    staff = make_staff()
    assert check_in_guest(guest, acting_user=staff).checked_in_at
    assert refusal(guest, staff) == "has_arrived"
    change = StateChange.objects.filter(guest=guest).latest("pk")
    assert (change.to_state, change.actor) == ("checked_in", f"account:{staff.pk}")


def test_check_in_can_be_undone(guest: Guest) -> None:
    staff = make_staff()
    check_in_guest(guest, acting_user=staff)
    assert undo_check_in(guest, acting_user=staff).checked_in_at is None
    change = StateChange.objects.filter(guest=guest).latest("pk")
    assert (change.from_state, change.to_state) == ("checked_in", "on_list")
    with pytest.raises(GuestError, match="not_here"):
        undo_check_in(guest, acting_user=staff)
    assert refusal(guest, staff) == ""


def test_nobody_is_checked_in_while_the_switch_is_off(guest: Guest) -> None:
    staff = make_staff()
    turn_off("check_in")
    assert refusal(guest, staff) == "check_in_off"
    guest.refresh_from_db()
    assert guest.checked_in_at is None
    turn_on("check_in")
    assert refusal(guest, staff) == ""
    turn_off("check_in")
    assert undo_check_in(guest, acting_user=staff).checked_in_at is None


def test_only_who_has_a_place_on_the_list_is_checked_in() -> None:
    staff = make_staff()
    full = make_event(capacity=1)
    make_guest(full)
    assert refusal(make_guest(full), staff) == "not_on_list"
    cancelled = make_guest()
    Guest.objects.filter(pk=cancelled.pk).update(state="cancelled", qr_token=None)
    assert refusal(cancelled, staff) == "not_on_list"
    called_off = make_guest()
    Event.objects.filter(pk=called_off.event_id).update(cancelled_at="2020-01-01T00:00Z")
    assert refusal(called_off, staff) == "for_event_cancelled"


@pytest.mark.django_db(transaction=True)
def test_of_four_scans_at_the_same_time_one_counts() -> None:
    guest, staff = make_guest(), make_staff()
    outcomes = at_once([lambda: refusal(guest, staff)] * 4)
    assert sorted(outcomes) == ["", "has_arrived", "has_arrived", "has_arrived"]
    assert StateChange.objects.filter(guest=guest, to_state="checked_in").count() == 1


# Admin --------------------------------------------------------------------------------------------


def choose(client: Client, action: str, *guests: Guest) -> str:
    form = {"action": action, "_selected_action": [guest.pk for guest in guests]}
    page = client.post(admin_url("guests_guest_changelist"), form, follow=True)
    return page.content.decode()


def test_staff_check_guests_in_from_the_list(guest: Guest) -> None:
    other = make_guest(account=make_account(first_name="Rui", last_name="Exemplo"))
    admin = admin_client(staff_with("view_guest", "change_guest"))
    assert "2 guests are checked in." in choose(admin, "check_in", guest, other)
    assert Guest.objects.filter(checked_in_at=None).count() == 0
    assert "This guest is inside already." in choose(admin, "check_in", guest)
    assert "1 guest is not inside any more." in choose(admin, "undo_check_in", guest)
    assert "not checked in" in choose(admin, "undo_check_in", guest)


def test_the_list_says_that_check_in_is_turned_off(guest: Guest) -> None:
    turn_off("check_in")
    admin = admin_client(staff_with("view_guest", "change_guest"))
    assert "Check-in is turned off." in choose(admin, "check_in", guest)
    assert Guest.objects.get().checked_in_at is None


def test_staff_who_may_only_look_check_nobody_in(guest: Guest) -> None:
    admin = admin_client(staff_with("view_guest"))
    choose(admin, "check_in", guest)
    assert Guest.objects.get().checked_in_at is None
