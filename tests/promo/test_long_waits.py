"""Pages that wait for long, because the worker or the ws process is frozen."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from playwright.sync_api import Page, expect

from guests.models import GuestRequest
from guests.requests.creating import create_due_guests
from tests.factories import make_event
from tests.helpers.stack import Stack, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_a_page_says_that_we_are_busy_after_a_long_wait(stack: Stack, page: Page) -> None:
    """The first estimate of a second does not stay on screen."""
    page.clock.install()
    with stack.frozen("worker"), stack.frozen("sweeper"):
        ask_for_a_place(page)
        expect(page.get_by_text("Cerca de um segundo")).to_be_visible()
        GuestRequest.objects.update(accepted_at=Now() - timedelta(seconds=20))
        page.clock.fast_forward(6_500)
        expect(page.locator("#ticket[data-busy]")).to_contain_text("está guardado")


def ask_for_a_place(page: Page) -> None:
    page.goto(f"/promo/{make_event().slug}/-/phone/")
    page.fill("[name=phone]", "+351912000777")
    page.click("form.step .button")
    page.fill("[name=first_name]", "Rui")
    page.fill("[name=last_name]", "Exemplo")
    page.fill("[name=email]", "rui@example.com")
    page.click("form.step .button")


def wait_for_socket(page: Page, received: list[object]) -> None:
    """Wait until the page's socket has received the present state."""
    for _ in range(400):
        if received:
            return
        page.wait_for_timeout(50)
    pytest.fail("the socket received nothing")


def test_a_page_polls_although_its_socket_is_open(stack: Stack, page: Page) -> None:
    """FIRST_WITH_SOCKET in ticket.js sets the first poll. Without it a page polls after 12 s."""
    page.clock.install()
    received: list[object] = []
    page.on("websocket", lambda opened: opened.on("framereceived", lambda it: received.append(it)))
    with stack.frozen("worker"), stack.frozen("sweeper"):
        ask_for_a_place(page)
        expect(page.locator("#ticket[data-state=processing]")).to_be_visible()
        wait_for_socket(page, received)
        with stack.frozen("ws"):
            create_due_guests()
            wait_for(lambda: GuestRequest.objects.get().state == "created")
            page.clock.fast_forward(6_500)
            expect(page.locator("#ticket[data-state=created]")).to_be_visible(timeout=5_000)
