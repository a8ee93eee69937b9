"""What staff do with guests by hand: add, reinstate, move, attribute."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.exceptions import AccountError
from accounts.models import BlockedPhone, User
from guests.exceptions import GuestError
from guests.lists.services import (
    NewGuest,
    add_guest,
    move_guest,
    reinstate_guest,
    remove_guests,
    set_promoter,
)
from guests.models import Event, Guest, GuestRequest, StaffAction, StateChange
from guests.requests.accepting import request_place
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_request,
    make_staff,
    make_team,
    with_database_time,
)
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db

PHONE = "+351912345678"
ANA = NewGuest(name="Ana Exemplo Silva", phone=PHONE, email="ana@example.com", note="mesa 4")


def add(event: Event, new: NewGuest = ANA, *, may_wait: bool = False) -> Guest:
    return add_guest(event, new, acting_user=make_staff(), may_wait=may_wait)


def reload(guest: Guest) -> Guest:
    return Guest.objects.get(pk=guest.pk)


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(GuestError) as refused:
        work()
    return refused.value.code


# Adding -------------------------------------------------------------------------------------------


def test_a_new_phone_gets_an_unproven_account_a_place_and_an_email(manager: User) -> None:
    event = make_event()
    guest = add_guest(event, ANA, acting_user=manager)
    account = guest.account
    assert (account.first_name, account.last_name) == ("Ana", "Exemplo Silva")
    assert (account.phone, account.email, account.verified_at) == (PHONE, "ana@example.com", None)
    assert not account.has_usable_password()
    stored = reload(guest)
    assert (stored.state, stored.name, stored.note) == ("on_list", "Ana Exemplo Silva", "mesa 4")
    assert Email.objects.get().to == "ana@example.com"
    change = StateChange.objects.get(guest=guest)
    assert change.actor == f"account:{manager.pk}"
    action = StaffAction.objects.get()
    assert (action.guest, action.kind, action.account) == (guest, "added", manager)
    assert GuestRequest.objects.get().state == "created"
    assert broken_invariants() == []


def test_an_account_with_that_phone_keeps_its_name_and_email(stranger: User) -> None:
    stranger.phone = PHONE
    stranger.save()
    guest = add(make_event())
    assert guest.account == stranger
    assert guest.name == "Ana Exemplo Silva"
    account = User.objects.get(pk=stranger.pk)
    assert (account.first_name, account.email) == (stranger.first_name, stranger.email)


def test_an_account_without_an_email_gets_the_one_that_staff_wrote() -> None:
    account = make_account(phone=PHONE, email="")
    add(make_event())
    account.refresh_from_db()
    assert account.email == "ana@example.com"


def test_guests_without_a_phone_are_accounts_of_their_own() -> None:
    event = make_event()
    guests = [add(event, NewGuest(name="Rui")) for _ in range(2)]
    assert len({guest.account_id for guest in guests}) == 2
    for guest in guests:
        stored = reload(guest)
        assert (stored.phone, stored.account.phone, stored.account.email) == (None, None, "")
        assert stored.qr_token
    assert not Email.objects.exists()
    assert broken_invariants() == []


def test_the_list_may_be_closed_and_the_event_unpublished() -> None:
    now = timezone.now()
    event = make_event(
        is_published=False,
        list_opens_at=now - timedelta(days=2),
        list_closes_at=now - timedelta(days=1),
    )
    assert add(event).is_on_list


def test_a_second_press_of_one_form_adds_nobody() -> None:
    event = make_event()
    new = NewGuest(name="Rui", key="one form")
    assert add(event, new) == add(event, new)
    assert Guest.objects.count() == 1
    assert StaffAction.objects.count() == 1
    assert User.objects.filter(first_name="Rui").count() == 1


def test_never_over_capacity_but_to_the_waiting_list_if_wanted() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    assert code_of(lambda: add(event)) == "no_room"
    assert not User.objects.filter(phone=PHONE).exists()
    guest = add(event, may_wait=True)
    assert (guest.state, guest.position()) == ("waiting", 1)
    assert Email.objects.get(kind="waitlisted").to == "ana@example.com"
    event = make_event(capacity=0, has_waiting_list=False)
    assert code_of(lambda: add(event, may_wait=True)) == "no_waiting_list"
    assert broken_invariants() == []


def test_those_who_wait_are_not_overtaken() -> None:
    event = make_event(capacity=1)
    first, waiting = make_guest(event), make_guest(event)
    Event.objects.filter(pk=event.pk).update(capacity=2)
    assert code_of(lambda: add(event)) == "no_room"
    assert reload(waiting).is_on_list
    assert reload(first).is_on_list


def test_a_pending_request_of_the_person_is_taken_up() -> None:
    event = make_event()
    account = make_account(phone=PHONE)
    request = make_request(event, account)
    guest = add(event)
    request.refresh_from_db()
    assert (request.state, request.guest) == ("created", guest)
    assert guest.name == "Ana Exemplo Silva"
    # The person asks once more, and gets the same place.
    assert request_place(with_database_time(event), account).guest == guest
    assert broken_invariants() == []


def test_each_reason_against_a_guest_has_a_code() -> None:
    now = timezone.now()
    event = make_event()
    make_guest(event, make_account(phone=PHONE))
    assert code_of(lambda: add(event)) == "on_list_already"
    assert code_of(lambda: add(make_event(cancelled_at=now))) == "for_event_cancelled"
    over = make_event(starts_at=now - timedelta(hours=3), ends_at=now - timedelta(hours=1))
    assert code_of(lambda: add(over)) == "for_event_over"
    stray = make_event_promoter().promoter
    new = NewGuest(name="Rui", promoter=stray)
    assert code_of(lambda: add(event, new)) == "promoter_not_at_event"
    new = NewGuest(name="Rui", team=make_team())
    assert code_of(lambda: add(event, new)) == "promoter_not_at_event"
    colleague = NewGuest(name="Rui", phone=make_staff().phone or "")
    assert code_of(lambda: add(event, colleague)) == "for_account_with_rights"
    BlockedPhone.objects.create(phone="+35196", is_prefix=True, reason="test")
    blocked = NewGuest(name="Rui", phone="+351961234567")
    assert code_of(lambda: add(event, blocked)) == "for_account_refused"
    assert not User.objects.filter(first_name="Rui").exists()


def test_an_email_with_too_many_accounts_is_refused(settings: Settings) -> None:
    settings.ACCOUNTS_PER_EMAIL = 1
    make_account(email="ana@example.com")
    with pytest.raises(AccountError, match="email_taken"):
        add(make_event())


# Reinstating --------------------------------------------------------------------------------------


def test_a_guest_who_was_taken_off_comes_back_with_a_new_code(manager: User) -> None:
    at = make_event_promoter(team=make_team())
    guest = make_guest(at.event, promoter=at.promoter, team=at.team)
    Guest.objects.update(note="mesa 4")
    remove_guests(guest.event_id, [guest.pk], acting_user=manager, reason="engano")
    reinstate_guest(reload(guest), acting_user=manager)
    back = reload(guest)
    assert (back.state, back.listings, back.note) == ("on_list", 2, "mesa 4")
    assert (back.promoter, back.team) == (at.promoter, at.team)
    assert back.qr_token not in {None, guest.qr_token}
    assert Email.objects.filter(kind="qr_code").count() == 2
    kinds = StaffAction.objects.order_by("pk").values_list("kind", "detail")
    assert list(kinds) == [("removed", "engano"), ("reinstated", "")]
    assert code_of(lambda: reinstate_guest(back, acting_user=manager)) == "not_cancelled"
    assert broken_invariants() == []


def test_a_place_that_was_given_away_is_not_given_twice(manager: User) -> None:
    event = make_event(capacity=1)
    guest, waiting = make_guest(event), make_guest(event)
    cancel_guests(event.pk, [guest.pk], acting_user=manager)
    assert reload(waiting).is_on_list
    assert code_of(lambda: reinstate_guest(reload(guest), acting_user=manager)) == "no_room"
    back = reinstate_guest(reload(guest), acting_user=manager, may_wait=True)
    assert (back.state, back.position()) == ("waiting", 1)
    assert broken_invariants() == []


# Moving -------------------------------------------------------------------------------------------


def test_a_guest_moves_in_one_step(manager: User) -> None:
    here, there = make_event(capacity=1), make_event()
    guest, waiting = make_guest(here), make_guest(here)
    moved = move_guest(guest, there, acting_user=manager, reason="pediu")
    assert (moved.event, moved.account, moved.state) == (there, guest.account, "on_list")
    assert reload(guest).state == "cancelled"
    assert reload(waiting).is_on_list
    actions = dict(StaffAction.objects.values_list("guest", "kind"))
    assert actions == {guest.pk: "moved_away", moved.pk: "moved_here"}
    assert broken_invariants() == []


def test_a_promoter_goes_along_who_works_at_both_events(manager: User) -> None:
    at = make_event_promoter()
    there = make_event()
    guest = make_guest(at.event, promoter=at.promoter)
    assert move_guest(guest, there, acting_user=manager).promoter is None
    make_event_promoter(elsewhere := make_event(), promoter=at.promoter, team=make_team())
    moved = move_guest(make_guest(at.event, promoter=at.promoter), elsewhere, acting_user=manager)
    assert moved.promoter == at.promoter
    assert moved.team is not None


def test_nothing_changes_if_the_other_event_has_no_place(manager: User) -> None:
    guest = make_guest()
    full = make_event(capacity=0)
    assert code_of(lambda: move_guest(guest, full, acting_user=manager)) == "no_room"
    event = guest.event
    assert code_of(lambda: move_guest(guest, event, acting_user=manager)) == "same_event"
    assert reload(guest).qr_token == guest.qr_token
    Guest.objects.update(checked_in_at=timezone.now())
    there = make_event()
    assert code_of(lambda: move_guest(guest, there, acting_user=manager)) == "has_arrived"
    assert broken_invariants() == []


# Promoters ----------------------------------------------------------------------------------------


def test_a_promoter_of_the_event_gets_the_guest(manager: User) -> None:
    at = make_event_promoter(team=make_team())
    guest = make_guest(at.event)
    assert set_promoter(guest, at.promoter, at.team, acting_user=manager)
    stored = reload(guest)
    assert (stored.promoter, stored.team) == (at.promoter, at.team)
    action = StaffAction.objects.get()
    assert action.detail == f"– → {at.promoter} · {at.team}"
    assert not set_promoter(guest, at.promoter, at.team, acting_user=manager)
    other = make_event_promoter()
    refused = code_of(lambda: set_promoter(guest, other.promoter, None, acting_user=manager))
    assert refused == "promoter_not_at_event"
    # The promoter is at the event, but not alone.
    refused = code_of(lambda: set_promoter(guest, at.promoter, None, acting_user=manager))
    assert refused == "promoter_not_at_event"
    assert StaffAction.objects.count() == 1
