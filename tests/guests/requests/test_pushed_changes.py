"""Each change of what a holder reads reaches the open pages, whoever makes it."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib import import_module
from pkgutil import walk_packages

import pytest
from django.conf import settings
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

import guests
from accounts.models import Claim, User, sockets_of
from guests.claims.corrections import correct_email_by_staff
from guests.claims.proof import prove_by_link
from guests.claims.services import grant_claim, undo_claim
from guests.door.services import check_in_guest, undo_check_in
from guests.emergency.replay import replay_requests
from guests.lists.services import (
    NewGuest,
    add_guest,
    move_guest,
    reinstate_guest,
    remove_guests,
    set_promoter,
)
from guests.models import Event, Guest, GuestRequest
from guests.requests import creating
from guests.requests.creating import create_due_guests
from guests.requests.event_changes import cancel_event, change_event, reinstate_event
from guests.requests.giving_back import free_places_given_back, give_place_back, keep_place
from guests.requests.pushes import event_group, places_group
from guests.requests.tickets import push_group
from guests.requests.waiting_list import cancel_guests, fill_free_places
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_request,
    make_staff,
)
from tests.helpers.admin import admin_url
from tests.helpers.pushes import listening

pytestmark = pytest.mark.django_db

# Prepares a change, and returns the change itself with the request whose page is open.
Case = tuple[Callable[[], object], GuestRequest]


def _request_of(guest: Guest) -> GuestRequest:
    return GuestRequest.objects.select_related("account", "event").get(guest=guest)


def _created() -> Case:
    return create_due_guests, make_request()


def _refused() -> Case:
    event = make_event(capacity=1, has_waiting_list=False)
    make_request(event)
    return create_due_guests, make_request(event)


def _dead() -> Case:
    request = make_request()
    GuestRequest.objects.update(attempts=settings.GUEST_REQUEST_ATTEMPTS - 1)
    return lambda: creating._count_attempt(GuestRequest.objects.get(), "bad"), request


def _replayed() -> Case:
    request = make_request()
    GuestRequest.objects.update(state="dead", ended_at=timezone.now())
    return lambda: replay_requests(GuestRequest.objects.all()), request


def _cancelled() -> Case:
    guest = make_guest()
    staff = make_staff()
    cancel = partial(cancel_guests, guest.event_id, [guest.pk], acting_user=staff)
    return cancel, _request_of(guest)


def _promoted() -> Case:
    event = make_event(capacity=1)
    first, waiting = make_guest(event), make_guest(event)
    staff = make_staff()
    cancel = partial(cancel_guests, event.pk, [first.pk], acting_user=staff)
    return cancel, _request_of(waiting)


def _promoted_by_more_places() -> Case:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    Event.objects.update(capacity=2)
    return lambda: fill_free_places(Event.objects.with_database_time().get()), _request_of(waiting)


def _given_back() -> Case:
    guest = make_guest()
    return lambda: give_place_back(guest), _request_of(guest)


def _kept() -> Case:
    guest = make_guest()
    give_place_back(guest)
    return lambda: keep_place(guest), _request_of(guest)


def _freed_after_a_minute() -> Case:
    guest = make_guest()
    give_place_back(guest)
    Guest.objects.update(leaves_at=F("leaves_at") - timedelta(hours=1))
    return free_places_given_back, _request_of(guest)


def _moved_in_place() -> Case:
    guest = make_guest()
    guest.event.venue = "Outra sala"
    staff = make_staff()
    return lambda: change_event(guest.event, ["venue"], acting_user=staff), _request_of(guest)


def _event_cancelled() -> Case:
    guest = make_guest()
    staff = make_staff()
    return lambda: cancel_event(guest.event, acting_user=staff), _request_of(guest)


def _event_reinstated() -> Case:
    guest = make_guest()
    staff = make_staff()
    cancel_event(guest.event, acting_user=staff)
    return lambda: reinstate_event(guest.event, acting_user=staff), _request_of(guest)


def _proven() -> Case:
    guest = make_guest(make_event(requires_proof=True), make_account(verified_at=None))
    return lambda: prove_by_link(guest.account), _request_of(guest)


def _claim_on(account: User) -> Claim:
    return Claim.objects.create(
        account=account,
        first_name="Marta",
        last_name="Verdadeira",
        email="marta@example.org",
        language="en",
        browser="c" * 32,
    )


def _claim_granted() -> Case:
    guest, staff = make_guest(), make_staff()
    claim = _claim_on(guest.account)
    return lambda: grant_claim(claim, acting_user=staff), _request_of(guest)


def _claim_undone() -> Case:
    guest, staff = make_guest(), make_staff()
    claim = _claim_on(guest.account)
    grant_claim(claim, acting_user=staff)
    return lambda: undo_claim(claim, acting_user=staff), _request_of(guest)


def _signed_out() -> Case:
    guest = make_guest()
    return guest.account.sign_out_everywhere, _request_of(guest)


def _added_by_staff() -> Case:
    event, account, staff = make_event(), make_account(), make_staff()
    request = GuestRequest(event=event, account=account)  # Another event's page may be open.
    new = NewGuest(name="Rita Exemplo", phone=account.phone or "")
    return partial(add_guest, event, new, acting_user=staff), request


def _reinstated_by_staff() -> Case:
    guest, staff = make_guest(), make_staff()
    request = _request_of(guest)
    cancel_guests(guest.event_id, [guest.pk], acting_user=staff)
    guest.refresh_from_db()
    return partial(reinstate_guest, guest, acting_user=staff), request


def _moved_by_staff() -> Case:
    guest, staff = make_guest(), make_staff()
    return partial(move_guest, guest, make_event(), acting_user=staff), _request_of(guest)


def _removed_by_staff() -> Case:
    guest, staff = make_guest(), make_staff()
    remove = partial(remove_guests, guest.event_id, [guest.pk], acting_user=staff)
    return remove, _request_of(guest)


def _corrected_by_staff() -> Case:
    guest, staff = make_guest(), make_staff()
    email = "certa@example.com"
    return partial(correct_email_by_staff, guest, email, acting_user=staff), _request_of(guest)


def _attributed_by_staff() -> Case:
    guest, staff = make_guest(), make_staff()
    works = make_event_promoter(guest.event)
    change = partial(set_promoter, guest, works.promoter, works.team, acting_user=staff)
    return change, _request_of(guest)


def _checked_in() -> Case:
    guest, staff = make_guest(), make_staff()
    return partial(check_in_guest, guest, acting_user=staff), _request_of(guest)


def _check_in_undone() -> Case:
    guest, staff = make_guest(), make_staff()
    check_in_guest(guest, acting_user=staff)
    return partial(undo_check_in, guest, acting_user=staff), _request_of(guest)


CASES = [
    _checked_in,
    _check_in_undone,
    _added_by_staff,
    _reinstated_by_staff,
    _moved_by_staff,
    _removed_by_staff,
    _attributed_by_staff,
    _corrected_by_staff,
    _created,
    _refused,
    _dead,
    _replayed,
    _cancelled,
    _promoted,
    _promoted_by_more_places,
    _given_back,
    _kept,
    _freed_after_a_minute,
    _moved_in_place,
    _event_cancelled,
    _event_reinstated,
    _proven,
    _claim_granted,
    _claim_undone,
    _signed_out,
]
# Services that tests above call, and those that change nothing that a holder reads.
WALKED = {
    "check_in_guest",
    "undo_check_in",
    "add_guest",
    "correct_email_by_staff",
    "reinstate_guest",
    "move_guest",
    "remove_guests",
    "set_promoter",
    "cancel_guests",
    "cancel_locked",
    "fill_free_places",
    "replay_requests",
    "replay_batch",
    "change_event",
    "cancel_event",
    "reinstate_event",
    "grant_claim",
    "undo_claim",
}
CHANGE_NO_PLACE = {"refuse_claim", "may_decide"}
# Messages tell by email.
CHANGE_NO_PLACE |= {"confirm_message", "stop_message", "resume_message"}


def _groups_of(request: GuestRequest) -> set[str]:
    """Return the groups that a page of the request's account has joined."""
    return {
        push_group(str(request.ticket_id)),
        places_group(request.account_id),
        event_group(request.event_id),
        sockets_of(request.account_id),
    }


@pytest.mark.parametrize("prepare", CASES, ids=lambda case: case.__name__.strip("_"))
def test_a_change_is_pushed_to_the_pages_of_the_place(
    prepare: Callable[[], Case], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    change, request = prepare()
    with listening() as receive:
        with django_capture_on_commit_callbacks(execute=True):
            change()
        groups: set[str] = set()
        while not groups & _groups_of(request) and (pushes := receive(1)):
            groups |= {group for group, _ in pushes}
    assert groups & _groups_of(request)


def test_a_place_that_staff_give_again_reaches_the_page_of_the_earlier_request(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    """The new place has a request of its own, and the open page shows the earlier ticket."""
    change, request = _reinstated_by_staff()
    with listening() as receive:
        with django_capture_on_commit_callbacks(execute=True):
            change()
        groups = {group for group, _ in receive(2)}
    assert places_group(request.account_id) in groups


def test_a_name_that_staff_correct_is_pushed(
    admin: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    guest = make_guest()
    url = admin_url("guests_guest_change", guest.pk)
    with listening() as receive:
        with django_capture_on_commit_callbacks(execute=True):
            assert admin.post(url, {"name": "Outro Nome"}).status_code == 302
        groups = {group for group, _ in receive(1)}
    assert places_group(guest.account_id) in groups


def test_every_service_of_staff_has_a_case() -> None:
    """A service that acts for somebody has the parameter `acting_user`."""
    services = set()
    for module in walk_packages(guests.__path__, "guests."):
        if ".migrations" in module.name or ".admin" in module.name:
            continue
        for name, function in inspect.getmembers(import_module(module.name), inspect.isfunction):
            is_public = function.__module__ == module.name and not name.startswith("_")
            if is_public and "acting_user" in inspect.signature(function).parameters:
                services.add(name)
    assert services == WALKED | CHANGE_NO_PLACE


@pytest.mark.parametrize("leaves", ["list", "line"])
def test_the_first_who_wait_hear_that_they_have_moved_up(
    leaves: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    event = make_event(capacity=1)
    listed, first, second, third = (make_guest(event) for _ in range(4))
    gone = listed if leaves == "list" else first
    with listening() as receive:
        with django_capture_on_commit_callbacks(execute=True):
            cancel_guests(event.pk, [gone.pk], acting_user=make_staff())
        told = {group for group, _ in receive(4)}
    assert {places_group(guest.account_id) for guest in (second, third)} <= told
