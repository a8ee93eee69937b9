"""Every step needs the same number of queries for a small and for a large event."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.http import HttpResponseBase
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from guests.models import Event, Guest, GuestRequest
from guests.requests.creating import create_due_guests
from tests.factories import (
    make_account,
    make_accounts,
    make_event,
    make_event_promoter,
    make_guest,
    make_request,
)
from tests.helpers.visitors import PHONE, Visitor, last_code

pytestmark = pytest.mark.django_db


def crowd(event: Event, size: int) -> None:
    """Add guests and promoters to an event, and make as many other events."""
    for account in make_accounts(size):
        make_request(event, account)
    create_due_guests()
    for _ in range(size):
        make_event_promoter(event)
        make_event()


def list_events(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.get("/promo/")


def list_events_signed_in(visitor: Visitor, account: User) -> HttpResponseBase:
    return visitor.signed_in(account).get("/promo/")


def look(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.look()


def look_signed_in(visitor: Visitor, account: User) -> HttpResponseBase:
    return visitor.signed_in(account).look()


def open_phone(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.open("phone")


def give_new_phone(visitor: Visitor, _account: User) -> HttpResponseBase:
    return visitor.give_phone()


def give_known_phone(visitor: Visitor, account: User) -> HttpResponseBase:
    return visitor.give_phone(account.phone or "")


def tap(visitor: Visitor, _account: User) -> HttpResponseBase:
    return Visitor(visitor.event, htmx=True).signed_in(make_account()).send("request")


def tap_without_javascript(visitor: Visitor, _account: User) -> HttpResponseBase:
    """Send the request without HTMX, which creates the guest as well."""
    return visitor.signed_in(make_account()).send("request")


def see_pass(visitor: Visitor, account: User) -> HttpResponseBase:
    token = Guest.objects.get(event=visitor.event, account=account).qr_token
    return visitor.signed_in(account).get(f"/guest/{token}")


def see_ticket(visitor: Visitor, account: User) -> HttpResponseBase:
    request = GuestRequest.objects.get(event=visitor.event, account=account)
    url = f"/promo/{visitor.event.slug}/ticket/{request.ticket_id}/"
    return visitor.signed_in(account).get(url)


def queries_of(work: Callable[[], HttpResponseBase]) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert work().status_code in {200, 303}
    return len(seen)


def queries_at(step: Callable[[Visitor, User], HttpResponseBase], size: int) -> int:
    """Return the number of queries of a step, at an event with `size` guests."""
    event = make_event()
    crowd(event, size)
    account = make_guest(event).account
    visitor = Visitor(event)
    visitor.look()
    return queries_of(lambda: step(visitor, account))


@pytest.mark.parametrize(
    ("step", "most"),
    [
        (list_events, 1),
        (list_events_signed_in, 3),
        (look, 1),
        (look_signed_in, 5),
        (open_phone, 1),
        (give_new_phone, 2),
        (give_known_phone, 18),
        (tap, 10),
        (tap_without_javascript, 29),
        (see_pass, 4),
        (see_ticket, 5),
    ],
)
def test_a_step_makes_the_same_queries_for_few_and_many_guests(
    step: Callable[[Visitor, User], HttpResponseBase], most: int
) -> None:
    few = queries_at(step, 1)
    User.objects.filter(phone=PHONE).delete()
    assert queries_at(step, 12) == few <= most


def queries_to_register(size: int) -> int:
    visitor = Visitor(make_event(), htmx=True)
    crowd(visitor.event, size)
    visitor.look()
    visitor.give_phone(f"9612345{size:02d}")
    return queries_of(visitor.register)


def queries_to_send_a_code(size: int) -> int:
    visitor, account = Visitor(make_event(), htmx=True), make_account()
    crowd(visitor.event, size)
    visitor.look()
    visitor.give_phone(account.phone or "")
    digits = last_code(account).digits()
    return queries_of(lambda: visitor.send("code", code=digits))


def queries_while_waiting(size: int) -> int:
    event = make_event(capacity=1)
    crowd(event, size)
    account = make_guest(event).account
    visitor = Visitor(event)
    visitor.look()
    return queries_of(lambda: see_ticket(visitor, account))


@pytest.mark.parametrize(
    ("cost_of", "most"),
    [(queries_to_register, 16), (queries_to_send_a_code, 23), (queries_while_waiting, 6)],
)
def test_the_last_step_makes_the_same_queries_for_few_and_many_guests(
    cost_of: Callable[[int], int], most: int
) -> None:
    assert cost_of(1) == cost_of(12) <= most
