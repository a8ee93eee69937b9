"""Every final state of a request, and every way to wait, in a real browser."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import close_old_connections, transaction
from django.db.models.functions import Now
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, Route, WebSocket, expect

from accounts.models import BlockedPhone
from guests.models import GuestRequest
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_account, make_event, make_guest, make_request, make_staff
from tests.helpers.browser import (
    ask_to_join,
    assert_accessible,
    expect_qr,
    fill_in_registration,
    give_phone,
    new_phone,
    open_link,
    send,
    shoot,
    sign_in,
    watched,
)
from tests.helpers.own_servers import own_postgresql
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def refused() -> GuestRequest:
    request = make_request()
    return _end(request, state="refused", refusal="list_full")


def phone_on_list() -> GuestRequest:
    request = make_request()
    return _end(request, state="refused", refusal="phone_on_list")


def cancelled() -> GuestRequest:
    guest = make_guest()
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    return GuestRequest.objects.get(guest=guest)


def failed() -> GuestRequest:
    return _end(make_request(), state="dead", error="Oops")


def unproven() -> GuestRequest:
    return GuestRequest.objects.get(guest=make_guest(make_event(requires_proof=True)))


def in_line() -> GuestRequest:
    event = make_event()
    for _ in range(4):
        _later(make_request(event))
    return _later(make_request(event))


def _later(request: GuestRequest) -> GuestRequest:
    request.next_attempt_at = timezone.now() + timedelta(seconds=100)
    request.save(update_fields=["next_attempt_at"])
    return request


def _end(request: GuestRequest, **fields: str) -> GuestRequest:
    GuestRequest.objects.filter(pk=request.pk).update(ended_at=Now(), **fields)
    return request


@pytest.mark.parametrize(
    ("ended", "state", "words"),
    [
        (refused, "refused", "A lista está cheia"),
        (phone_on_list, "refused", "telemóvel"),
        (cancelled, "cancelled", "já não funciona"),
        (failed, "failed", "Guardámos o teu pedido"),
        (unproven, "unproven", "Prova que és tu"),
        (in_line, "processing-5", "número 5"),
    ],
)
def test_every_end_of_a_request(
    stack: Stack,
    phone: BrowserContext,
    ended: Callable[[], GuestRequest],
    state: str,
    words: str,
) -> None:
    with transaction.atomic():  # The real workers must not see the request before it has ended.
        request = ended()
    sign_in(phone, stack, request.account)
    page = phone.new_page()
    errors = watched(page)
    page.goto(f"/promo/{request.event.slug}/ticket/{request.ticket_id}/")
    expect(page.locator(f"#ticket[data-state={state}]")).to_be_visible()
    expect(page.locator("#ticket")).to_contain_text(words)
    assert_accessible(page)
    shoot(page, f"ticket-{ended.__name__}")
    assert errors == []


def test_an_unproven_ticket_leads_to_the_proof(stack: Stack, phone: BrowserContext) -> None:
    request = unproven()
    sign_in(phone, stack, request.account)
    page = phone.new_page()
    page.goto(f"/promo/{request.event.slug}/ticket/{request.ticket_id}/")
    page.locator("#ticket .button").click()
    expect(page.locator("form.step .button")).to_be_visible()
    assert_accessible(page)
    shoot(page, "prove")


def test_the_page_does_not_say_that_a_phone_is_blocked(stack: Stack, page: Page) -> None:
    account = make_account()
    BlockedPhone.objects.create(phone=account.phone or "", reason="Trouble")
    open_link(page, make_event())
    page.locator("[data-first-step]").first.click()
    give_phone(page, account.phone or "")
    expect(page.locator("#flow")).not_to_contain_text("bloque")
    assert_accessible(page)
    shoot(page, "blocked-phone")


@pytest.mark.slow
def test_a_ticket_is_queued_in_an_outage_and_shows_its_code_afterwards(
    stack: Stack, page: Page
) -> None:
    postgresql = own_postgresql()
    event = make_event()
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    open_link(page, event)
    ask_to_join(page)
    postgresql.stop("immediate")
    try:
        give_phone(page, new_phone())
        fill_in_registration(page)
        send(page)
        expect(page.locator("#ticket[data-state=queued]")).to_be_visible(timeout=15_000)
        assert_accessible(page)
        shoot(page, "queued")
        page.wait_for_timeout(1000)
        assert [socket.is_closed() for socket in sockets] == [False], "the socket was refused"
    finally:
        postgresql.start()
        close_old_connections()
    expect_qr(page, timeout=10_000)
    # The response to the page's poll has signed this browser in.
    page.reload()
    expect_qr(page)


@pytest.mark.slow
def test_a_ticket_stays_on_screen_while_its_requests_fail(
    stack: Stack, phone: BrowserContext
) -> None:
    """A page that replaced its ticket by an error would stay on the error."""
    request = make_request()
    with stack.frozen("ws"), stack.frozen("worker"), stack.frozen("sweeper"):
        sign_in(phone, stack, request.account)
        page = phone.new_page()
        page.goto(f"/promo/{request.event.slug}/ticket/{request.ticket_id}/")
        polls: list[str] = []

        def fail(route: Route) -> None:
            polls.append(route.request.url)
            route.fulfill(status=503, body="<h1>Away</h1>", content_type="text/html")

        page.route("**/ticket/**", fail)
        for _ in range(150):
            page.wait_for_timeout(100)
            if len(polls) > 1:
                break
        assert len(polls) > 1, "the page stopped polling"
        expect(page.locator("#ticket[data-state=processing]")).to_be_visible()
        page.unroute("**/ticket/**")
    expect_qr(page, timeout=15_000)


@pytest.mark.slow
def test_too_many_attempts(stack: Stack, phone: BrowserContext, page_without_js: Page) -> None:
    """The challenge is expensive, so that the page shows it long enough for the checks."""
    with stack.another_web(LIMIT_IP="5", CHALLENGE_COST="1000000") as url:
        event = make_event()
        page = phone.new_page()
        for _ in range(6):
            page.goto(f"{url}/promo/{event.slug}/")
        expect(page.locator("#message")).to_be_visible()
        assert_accessible(page)
        shoot(page, "too-many")
        page.close()
        page_without_js.goto(f"{url}/promo/{event.slug}/")
        shoot(page_without_js, "nojs-too-many")
        page_without_js.locator("[data-slow] button").click()
        expect(page_without_js.locator("#message[role=status]")).to_be_visible()
        shoot(page_without_js, "nojs-wait")
