"""Tickets in each of their states, on their page and in a push."""

from collections.abc import Callable

import pytest
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import User
from guests.models import GuestRequest
from guests.requests.tickets import Ticket, TicketState
from promo.rendering import ticket_context
from tests.factories import make_account, make_guest, make_request
from tests.helpers.events import event_with_waiting_list
from tests.helpers.pages import Outline, check_page, in_both_languages
from tests.helpers.visitors import Visitor, html_of, state_in

pytestmark = pytest.mark.django_db


def _processing(account: User) -> GuestRequest:
    return make_request(account=account)


def _created(account: User) -> GuestRequest:
    return GuestRequest.objects.get(guest=make_guest(account=account))


def _waitlisted(account: User) -> GuestRequest:
    return GuestRequest.objects.get(guest=make_guest(event_with_waiting_list(), account))


def _refused(account: User) -> GuestRequest:
    return _ended(account, state=GuestRequest.State.REFUSED, refusal="list_full")


def _failed(account: User) -> GuestRequest:
    return _ended(account, state=GuestRequest.State.DEAD)


def _ended(account: User, **fields: str) -> GuestRequest:
    request = make_request(account=account)
    GuestRequest.objects.filter(pk=request.pk).update(ended_at=timezone.now(), **fields)
    return request


TICKETS = [
    (_processing, "processing", "A guardar o teu lugar", "Holding your place"),
    (_created, "created", "Estás na lista", "You are on the list"),
    (_waitlisted, "waitlisted-1", "Estás na lista de espera", "You are on the waiting list"),
    (_refused, "refused", "A lista está cheia.", "The list is full."),
    (_failed, "failed", "Este pedido precisa de uma ajuda", "This one needs a hand"),
]


@in_both_languages
@pytest.mark.parametrize(("make", "state", "in_portuguese", "in_english"), TICKETS)
def test_a_ticket_says_its_state_on_its_page_and_the_events(
    make: Callable[[User], GuestRequest],
    state: str,
    in_portuguese: str,
    in_english: str,
    language: str,
) -> None:
    account = make_account()
    request = make(account)
    visitor = Visitor(request.event, language=language).signed_in(account)
    ticket_url = f"/promo/{request.event.slug}/ticket/{request.ticket_id}/"
    for response in (visitor.get(ticket_url), visitor.look()):
        check_page(response, language)
        assert state_in(response) == state
        assert (in_english if language == "en" else in_portuguese) in html_of(response)


@pytest.mark.parametrize(
    ("make", "follows"),
    [
        (_processing, True),
        (_failed, True),
        (_waitlisted, True),
        (_created, True),
        (_refused, False),
    ],
)
def test_a_page_follows_a_ticket_while_its_place_may_change(
    make: Callable[[User], GuestRequest], follows: bool
) -> None:
    account = make_account()
    request = make(account)
    visitor = Visitor(request.event).signed_in(account)
    url = f"/promo/{request.event.slug}/ticket/{request.ticket_id}/"
    page = Outline(html_of(visitor.get(url)))
    assert ("watch" in page.values("id")) is follows
    sockets = page.values("ws-connect")
    assert sockets == ([f"/ws/promo/{request.ticket_id}/"] if follows else [])


def test_a_page_without_scripts_refreshes_itself() -> None:
    account = make_account()
    request = make_request(account=account)
    visitor = Visitor(request.event).signed_in(account)
    assert '<meta http-equiv="refresh" content="2">' in html_of(visitor.look())
    request = _created(account)
    assert "http-equiv" not in html_of(Visitor(request.event).signed_in(account).look())


@pytest.mark.parametrize("email", ["rita@example.com", ""])
def test_the_page_promises_an_email_only_to_an_account_with_an_address(email: str) -> None:
    account = make_account(email=email)
    request = _created(account)
    html = html_of(Visitor(request.event).signed_in(account).look())
    assert ("on its way to your email" in html) is bool(email)


def test_a_refused_request_may_be_made_again() -> None:
    account = make_account()
    visitor = Visitor(_refused(account).event).signed_in(account)
    html = html_of(visitor.look())
    assert f'action="{visitor.step_url("request")}"' in html


def _ticket(state: str) -> Ticket:
    return Ticket(
        ticket_id="5a0a2b9e-8f3b-4f65-9a57-6f1a3f1d2c11",
        state=TicketState(state),
        event_slug="festa",
        event_title="Festa",
        venue="Sala Exemplo",
        time_zone="Europe/Lisbon",
        starts_at="2026-11-27T22:30:00+00:00",
        name="Rita Exemplo",
    )


@pytest.mark.parametrize(
    "state", ["processing", "queued", "by_email", "created", "waitlisted", "cancelled", "failed"]
)
def test_a_pushed_state_replaces_the_ticket_and_nothing_else(state: str) -> None:
    context = {**ticket_context(_ticket(state), wait=1, host="localhost"), "oob": True}
    with translation.override("en"):
        html = render_to_string("promo/ticket.html#ticket", context).strip()
    assert html.startswith('<section id="ticket"')
    assert html.endswith("</section>")
    page = Outline(html)
    assert page.values("hx-swap-oob") == ["true"]
    assert page.values("data-state") == [state]
    assert not page.values("ws-connect")


@pytest.mark.parametrize(("wait", "shows_ticket_id"), [(3, False), (40, True)])
def test_a_long_wait_names_the_ticket_and_the_time(wait: int, shows_ticket_id: bool) -> None:
    ticket = _ticket("processing")
    with translation.override("en"):
        context = ticket_context(ticket, wait=wait, host="localhost")
        html = render_to_string("promo/ticket.html#ticket", {**context, "oob": True})
    assert f"About {wait} seconds" in html
    assert (ticket.ticket_id in html) is shows_ticket_id
