"""Guests give their places back, and can undo it for a minute."""

from datetime import timedelta
from time import sleep

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from guests.models import Event, Guest, StateChange
from guests.place_status import PlaceCode
from guests.requests.creating import create_guest_now
from guests.requests.giving_back import (
    free_places_given_back,
    give_place_back,
    keep_place,
)
from guests.requests.waiting_list import cancel_guests, fill_free_places
from tests.factories import make_event, make_guest, make_request, make_staff
from tests.helpers.admin import admin_client
from tests.helpers.guards import at_once, slow, without_locks
from tests.helpers.invariants import broken_invariants
from tests.helpers.place_states import GUESTS

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


def read(guest: Guest) -> Guest:
    return Guest.objects.select_related("event", "account").get(pk=guest.pk)


def let_the_minute_pass() -> None:
    Guest.objects.leaving().update(leaves_at=Now() - timedelta(seconds=1))


def history_of(guest: Guest) -> list[tuple[str, str, str]]:
    changes = StateChange.objects.filter(guest=guest).order_by("pk")
    return [(change.from_state, change.to_state, change.actor) for change in changes]


def test_a_place_is_kept_for_a_minute_and_goes_to_the_waiting_list_then() -> None:
    event = make_event(capacity=1)
    guest, waiting = make_guest(event), make_guest(event)
    give_place_back(guest)
    call_command("sweeper", once=True)
    assert read(guest).qr_token
    assert read(waiting).state == "waiting"
    let_the_minute_pass()
    call_command("sweeper", once=True)
    assert read(guest).ending == "given_back"
    assert read(guest).qr_token is None
    assert read(waiting).state == "on_list"
    assert broken_invariants() == []


def test_the_minute_is_the_databases_and_a_setting(settings: Settings, guest: Guest) -> None:
    settings.GIVE_BACK_SECONDS = 30
    give_place_back(guest)
    guest = Guest.objects.annotate(now=Now()).get(pk=guest.pk)
    assert guest.seconds_to_undo(guest.now) in {29, 30}  # type: ignore[attr-defined]


def test_giving_back_can_be_undone_until_the_place_is_free(guest: Guest) -> None:
    give_place_back(guest)
    let_the_minute_pass()
    assert keep_place(guest)
    free_places_given_back()
    assert read(guest).is_on_list
    give_place_back(guest)
    let_the_minute_pass()
    free_places_given_back()
    assert not keep_place(guest)
    assert read(guest).ending == "given_back"


def test_giving_back_twice_does_not_begin_another_minute(guest: Guest) -> None:
    assert give_place_back(guest)
    first = read(guest).leaves_at
    assert not give_place_back(guest)
    assert read(guest).leaves_at == first


def test_the_history_names_the_guest_and_the_reason(guest: Guest) -> None:
    actor = f"account:{guest.account_id}"
    give_place_back(guest)
    keep_place(guest)
    give_place_back(guest)
    let_the_minute_pass()
    free_places_given_back()
    assert history_of(guest)[1:] == [
        ("on_list", "leaving", actor),
        ("leaving", "on_list", actor),
        ("on_list", "leaving", actor),
        ("leaving", "given_back", actor),
    ]


def test_staff_read_it_in_words(guest: Guest) -> None:
    give_place_back(guest)
    let_the_minute_pass()
    free_places_given_back()
    staff = admin_client(make_staff(language="en"))
    page = staff.get(f"/admin/guests/guest/{guest.pk}/change/").content.decode()
    assert "is giving the place back → gave the place back" in page


def test_a_place_that_was_checked_in_is_not_given_back(guest: Guest) -> None:
    Guest.objects.update(checked_in_at=timezone.now())
    assert not give_place_back(guest)


@pytest.mark.parametrize("code", [PlaceCode.OVER, PlaceCode.EVENT_CANCELLED])
def test_a_place_at_an_event_that_is_cancelled_or_over_stays_as_it_is(code: PlaceCode) -> None:
    """A page can be older than that."""
    guest = GUESTS[code]()
    assert not give_place_back(guest)
    guest.refresh_from_db()
    assert not guest.is_leaving


def test_checking_in_keeps_the_place(guest: Guest) -> None:
    """The previous release checks in too, so the database keeps the place."""
    give_place_back(guest)
    Guest.objects.update(checked_in_at=timezone.now())
    assert read(guest).leaves_at is None
    let_the_minute_pass()
    free_places_given_back()
    assert read(guest).is_on_list


def test_a_place_in_the_waiting_list_can_be_given_back() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    leaving, next_one = make_guest(event), make_guest(event)
    give_place_back(leaving)
    Event.objects.update(capacity=2)
    event.refresh_from_db()
    fill_free_places(event)
    assert read(leaving).state == "waiting"
    assert read(next_one).state == "on_list"
    assert keep_place(leaving)
    assert leaving.position() == 1
    give_place_back(leaving)
    let_the_minute_pass()
    free_places_given_back()
    assert read(leaving).ending == "given_back"
    assert broken_invariants() == []


def test_a_request_within_the_minute_keeps_the_place(guest: Guest) -> None:
    give_place_back(guest)
    request = make_request(guest.event, guest.account)
    assert request.guest is not None
    assert not request.guest.is_leaving
    assert read(guest).leaves_at is None


def test_a_later_request_is_that_of_a_newcomer(guest: Guest) -> None:
    token = guest.qr_token
    give_place_back(guest)
    let_the_minute_pass()
    free_places_given_back()
    create_guest_now(make_request(guest.event, guest.account))
    again = read(guest)
    assert again.is_on_list
    assert again.leaves_at is None
    assert again.qr_token != token
    let_the_minute_pass()
    free_places_given_back()
    assert read(guest).is_on_list
    assert broken_invariants() == []


def test_staff_can_cancel_a_place_within_the_minute(guest: Guest) -> None:
    give_place_back(guest)
    assert cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff()) == 1
    let_the_minute_pass()
    assert free_places_given_back() == 0
    assert broken_invariants() == []


def _race_an_undo(guest: Guest, *, locks: bool) -> bool:
    """Undo while the sweeper frees the place. Return what undoing said."""
    give_place_back(guest)
    let_the_minute_pass()

    def sweep() -> int:
        return free_places_given_back()

    with slow("guests_event", "UPDATE"):
        kept, _ = at_once(
            [
                lambda: _after_a_moment(guest),
                sweep if locks else without_locks(sweep, "guests_guest"),
            ]
        )
    return bool(kept)


def _after_a_moment(guest: Guest) -> int:
    sleep(0.1)
    return keep_place(guest)


@committed
def test_without_the_guests_lock_a_place_is_lost_that_was_kept(guest: Guest) -> None:
    assert _race_an_undo(guest, locks=False)
    assert not read(guest).is_on_list


@committed
def test_with_the_guests_lock_undoing_says_what_became_of_the_place(guest: Guest) -> None:
    assert _race_an_undo(guest, locks=True) == read(guest).is_on_list
    assert broken_invariants() == []


@committed
def test_giving_back_at_once_begins_one_minute(guest: Guest) -> None:
    given = at_once([lambda: give_place_back(read(guest))] * 3)
    assert sorted(given) == [False, False, True]
