"""Lists that take no guests, and visitors who get no place: each reads why."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import BlockedPhone, User
from guests.models import Event
from guests.qr.codes import image_url
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.events import cancelled_event, closed_event, full_event, future_event
from tests.helpers.visitors import (
    PERSON,
    PHONE,
    Visitor,
    html_of,
    is_partial,
    location_of,
    registered,
    rows,
    state_in,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("make", "on_page", "refusal"),
    [
        (future_event, "The list opens in", "The list is not open yet."),
        (closed_event, "The list is closed.", "The list is closed."),
        (cancelled_event, "This event was cancelled.", "cancelled"),
        (full_event, "The list is full.", "The list is full."),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_a_list_that_accepts_no_requests_says_why(
    make: Callable[[], Event], on_page: str, refusal: str, htmx: bool
) -> None:
    visitor = Visitor(make(), htmx=htmx)
    page = visitor.look()
    assert page.status_code == 200
    assert on_page in html_of(page)
    signed_in = Visitor(visitor.event, htmx=htmx).signed_in(make_account())
    before = rows()
    for response in (visitor.give_phone(), signed_in.send("request")):
        assert response.status_code == 409
        assert refusal in html_of(response)
        assert is_partial(response) == htmx
    assert rows() == before


@pytest.mark.parametrize("make", [future_event, cancelled_event])
def test_a_list_without_guests_has_no_phone_form(make: Callable[[], Event]) -> None:
    assert Visitor(make()).open("phone").status_code == 409


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_guest_of_a_full_or_closed_list_gets_the_same_qr_code_in_another_browser(
    *, is_closed: bool
) -> None:
    guest = make_guest(make_event(capacity=1, has_waiting_list=False))
    if is_closed:
        Event.objects.update(list_closes_at=Now())
    device = Visitor(guest.event)
    assert device.step_url("phone") in html_of(device.look())
    assert 'name="phone"' in html_of(device.open("phone"))
    assert location_of(device.give_phone(guest.phone or "")) == device.step_url("code")
    shown = device.get(location_of(device.type_code(guest.account)))
    assert state_in(shown) == "created"
    assert guest.qr_token
    assert image_url(guest.qr_token) in html_of(shown)


@pytest.mark.parametrize("make", [closed_event, full_event])
def test_an_account_without_a_place_is_refused_by_a_full_or_closed_list(
    make: Callable[[], Event],
) -> None:
    account, visitor = make_account(), Visitor(make())
    visitor.give_phone(account.phone or "")
    before = rows()
    response = visitor.type_code(account)
    assert (response.status_code, "The list is" in html_of(response)) == (409, True)
    assert rows() == before


def test_a_list_that_closes_before_the_last_form_makes_no_account() -> None:
    event = make_event()
    visitor = Visitor(event)
    visitor.give_phone()
    Event.objects.update(list_closes_at=timezone.now() - timedelta(minutes=1))
    response = visitor.register()
    assert (response.status_code, "The list is closed." in html_of(response)) == (409, True)
    assert set(rows().values()) == {0}


def test_the_countdown_ends_when_the_list_opens() -> None:
    shown = html_of(Visitor(future_event()).look())
    found = re.search(r'data-countdown="(\d+)"', shown)
    assert found
    assert 3590 <= int(found[1]) <= 3600


def test_a_full_list_offers_the_waiting_list() -> None:
    event = make_guest(make_event(capacity=1)).event
    visitor = Visitor(event)
    assert "Join the waiting list" in html_of(visitor.look())
    visitor.give_phone()
    ticket_url = location_of(visitor.register())
    shown = visitor.get(ticket_url)
    assert state_in(shown) == "waitlisted-1"
    assert "/media/qr/" not in html_of(shown)
    assert Email.objects.filter(kind="waitlisted", to=PERSON["email"]).exists()


def test_a_waiting_guest_gets_a_free_place() -> None:
    first = make_guest(make_event(capacity=1))
    visitor, ticket_url = registered(first.event)
    cancel_guests(first.event_id, [first.pk], acting_user=make_staff())
    assert state_in(visitor.get(ticket_url)) == "created"
    cancelled = Visitor(first.event).signed_in(first.account)
    assert state_in(cancelled.look()) == "cancelled"


@pytest.mark.parametrize("is_prefix", [False, True])
def test_a_blocked_phone_is_refused_like_any_other(is_prefix: bool) -> None:
    BlockedPhone.objects.create(
        phone=PHONE[:9] if is_prefix else PHONE, is_prefix=is_prefix, reason="sold places"
    )
    visitor = Visitor(make_event())
    assert location_of(visitor.give_phone()) == visitor.step_url("register")
    response = visitor.register()
    assert response.status_code == 403
    assert "We cannot take this request." in html_of(response)
    assert "block" not in html_of(response).lower()
    assert set(rows().values()) == {0}


def test_a_blocked_account_gets_no_code_and_no_place() -> None:
    account = make_account()
    BlockedPhone.objects.create(phone=account.phone or "", reason="sold places")
    event = make_event()
    assert Visitor(event).give_phone(account.phone or "").status_code == 403
    assert Visitor(event).signed_in(account).send("request").status_code == 403
    assert rows() == {"User": 1, "GuestRequest": 0, "Guest": 0, "Email": 0, "LoginCode": 0}


def test_an_account_that_was_switched_off_gets_no_code() -> None:
    account = make_account(is_active=False)
    assert Visitor(make_event()).give_phone(account.phone or "").status_code == 403
    assert not Email.objects.exists()


def test_a_phone_on_the_list_under_another_account_is_refused() -> None:
    guest = make_guest()
    event, phone = guest.event, guest.account.phone
    User.objects.filter(pk=guest.account.pk).update(phone=None)
    account = make_account(phone=phone)
    visitor = Visitor(event).signed_in(account)
    ticket_url = location_of(visitor.send("request"))
    shown = visitor.get(ticket_url)
    assert state_in(shown) == "refused"
    assert "under another account" in html_of(shown)
