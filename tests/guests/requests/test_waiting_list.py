"""Cancelled guests give their places to the waiting list."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from guests.models import Event, Guest
from guests.qr.codes import image_name
from guests.requests.waiting_list import cancel_guests, fill_free_places
from notifications.models import Email
from tests.factories import make_event, make_guest, make_staff
from tests.helpers.guards import at_once, slow, without_locks
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db
# Threads have their own connections and see only committed rows.
committed = pytest.mark.django_db(transaction=True)


def test_the_first_in_the_waiting_list_gets_a_cancelled_place_with_a_qr_and_an_email() -> None:
    event = make_event(capacity=1)
    guest, first, second = (make_guest(event) for _ in range(3))
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    for each in (guest, first, second):
        each.refresh_from_db()
    assert (guest.state, first.state, second.state) == ("cancelled", "on_list", "waiting")
    assert guest.qr_token is None
    assert first.is_promoted
    assert second.position() == 1
    email = Email.objects.get(cause=f"guest:{first.pk}/1")
    assert (email.kind, email.to) == ("qr_code", first.account.email)
    assert broken_invariants() == []


@committed
def test_an_image_that_cannot_be_deleted_does_not_stop_a_cancellation(guest: Guest) -> None:
    """The other hooks after the commit still run, for example the wake-up of workers."""
    image = Path(default_storage.path(image_name(guest.qr_token or "")))
    image.unlink()
    (image / "directory").mkdir(parents=True)  # The storage cannot delete a folder as a file.
    assert cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff()) == 1
    assert image.exists()
    guest.refresh_from_db()
    assert guest.state == "cancelled"


def test_cancelling_twice_frees_one_place(guest: Guest, manager: Any) -> None:
    for _ in range(2):
        cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    assert Event.objects.get().places_taken == 0


def test_a_guest_who_leaves_the_waiting_list_frees_no_place(manager: Any) -> None:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    cancel_guests(event.pk, [waiting.pk], acting_user=manager)
    event.refresh_from_db()
    assert event.places_taken == 1
    assert broken_invariants() == []


def test_no_guest_is_promoted_when_the_event_is_over_or_cancelled(manager: Any) -> None:
    for over in ({"cancelled_at": timezone.now()}, {"ends_at": timezone.now()}):
        event = make_event(capacity=1)
        guest, waiting = make_guest(event), make_guest(event)
        Event.objects.filter(pk=event.pk).update(starts_at=timezone.now() - timedelta(1), **over)
        cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
        waiting.refresh_from_db()
        assert waiting.state == "waiting"


def test_more_places_go_to_the_waiting_list_in_order() -> None:
    event = make_event(capacity=1)
    guests = [make_guest(event) for _ in range(4)]
    Event.objects.update(capacity=3)
    event.refresh_from_db()
    fill_free_places(event)
    states = [Guest.objects.get(pk=guest.pk).state for guest in guests]
    assert states == ["on_list"] * 3 + ["waiting"]
    assert broken_invariants() == []


@committed
def test_without_locks_parallel_cancellations_free_a_place_twice() -> None:
    guest, staff = make_guest(), make_staff()
    make_guest(guest.event)

    def cancel() -> None:
        cancel_guests(guest.event_id, [guest.pk], acting_user=staff)

    work = without_locks(cancel)
    with slow("guests_event", "UPDATE"):
        at_once([work] * 2)
    (found,) = broken_invariants()
    assert found.endswith("1 on the list, 0 counted")


@committed
def test_with_locks_parallel_cancellations_free_it_once() -> None:
    event, staff = make_event(capacity=3), make_staff()
    guests = [make_guest(event) for _ in range(5)]
    with slow("guests_event", "UPDATE", seconds=0.05):
        at_once(
            [
                partial(cancel_guests, event.pk, [guest.pk], acting_user=staff)
                for guest in guests[:2]
                for _ in range(2)
            ]
        )
    states = [Guest.objects.get(pk=guest.pk).state for guest in guests]
    assert states == ["cancelled"] * 2 + ["on_list"] * 3
    assert broken_invariants() == []
