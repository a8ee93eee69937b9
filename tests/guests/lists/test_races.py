"""Several staff, and workers, at one list at the same moment."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError

from accounts.models import User
from guests.exceptions import GuestError
from guests.lists.services import NewGuest, add_guest, move_guest, reinstate_guest
from guests.models import Event, Guest
from guests.requests.creating import create_guests_for_event
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_event, make_guest, make_request, make_staff
from tests.helpers.guards import at_once, slow, without_locks
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db(transaction=True)


def tried(work: Callable[[], Guest]) -> Callable[[], str]:
    """Return a function that does the work, and returns the guest's state or the refusal."""

    def run() -> str:
        try:
            return work().state
        except GuestError as error:
            return error.code
        except IntegrityError:
            return "over_capacity"

    return run


def adding(event: Event, number: int, staff: User) -> Callable[[], Guest]:
    new = NewGuest(name=f"Rui {number}", phone=f"+35191234567{number}")
    return lambda: add_guest(event, new, acting_user=staff)


def test_one_place_goes_to_one_of_several_staff() -> None:
    staff = make_staff()

    def race(guard: Callable[[Callable[[], str]], Callable[[], str]]) -> list[str]:
        event = make_event(capacity=1)
        works = [guard(tried(adding(event, number, staff))) for number in range(3)]
        with slow("guests_guest", "INSERT"):
            return sorted(at_once(works))

    expected = ["no_room", "no_room", "on_list"]
    assert race(lambda work: without_locks(work, "guests_event")) != expected
    Guest.objects.filter(state="on_list").update(state="cancelled", qr_token=None)
    Event.objects.update(places_taken=0)
    assert race(lambda work: work) == expected
    assert broken_invariants() == []


def test_staff_and_a_worker_never_exceed_the_capacity() -> None:
    staff = make_staff()
    event = make_event(capacity=2)
    requests = [make_request(event) for _ in range(3)]
    works: list[Callable[[], object]] = [tried(adding(event, n, staff)) for n in range(3)]
    works += [lambda: create_guests_for_event(event.pk)] * 2
    at_once(works)
    create_guests_for_event(event.pk)
    event.refresh_from_db()
    assert event.places_taken == 2
    for request in requests:
        request.refresh_from_db()
        assert request.state in {"created", "waitlisted"}
    assert broken_invariants() == []


def test_a_double_click_moves_and_reinstates_once() -> None:
    staff = make_staff()
    here, there = make_event(), make_event()
    guest = make_guest(here)
    moves = at_once([tried(lambda: move_guest(guest, there, acting_user=staff))] * 2)
    assert sorted(moves) == ["not_placed", "on_list"]
    guest.refresh_from_db()
    back = at_once([tried(lambda: reinstate_guest(guest, acting_user=staff))] * 2)
    assert sorted(back) == ["not_cancelled", "on_list"]
    assert broken_invariants() == []


def test_two_moves_in_opposite_directions_do_not_wait_for_each_other() -> None:
    staff = make_staff()
    one, other = make_event(), make_event()
    guests = [make_guest(one), make_guest(other)]
    at_once(
        [
            tried(lambda: move_guest(guests[0], other, acting_user=staff)),
            tried(lambda: move_guest(guests[1], one, acting_user=staff)),
            lambda: str(cancel_guests(one.pk, [0], acting_user=staff)),
        ]
    )
    assert Guest.objects.filter(state="on_list").count() == 2
    assert broken_invariants() == []


def test_a_double_click_adds_a_guest_without_a_phone_once() -> None:
    staff = make_staff()
    event = make_event()
    new = NewGuest(name="Rui", key="one form")
    at_once([tried(lambda: add_guest(event, new, acting_user=staff))] * 3)
    assert Guest.objects.count() == 1
    assert User.objects.filter(first_name="Rui").count() == 1
