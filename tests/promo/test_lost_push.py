"""A page whose socket is open and brings nothing, as with Redis away."""

import pytest
from playwright.sync_api import Page, expect

from guests.creation import create_due_guests
from guests.models import GuestRequest
from tests.factories import make_event
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def wait_for_socket(page: Page, heard: list[object]) -> None:
    """Let the page go on until its socket has brought the present state."""
    for _ in range(400):
        if heard:
            return
        page.wait_for_timeout(50)
    pytest.fail("the socket brought nothing")


def test_a_page_asks_soon_although_its_socket_is_open(stack: Stack, page: Page) -> None:
    """The protection is FIRST_WITH_SOCKET in ticket.js; without it a page asks after 12 seconds."""
    page.clock.install()
    event = make_event()
    with stack.frozen("worker"), stack.frozen("sweeper"):
        page.goto(f"/promo/{event.slug}/-/phone/")
        page.fill("[name=phone]", "+351912000777")
        page.click("form.step .button")
        page.fill("[name=first_name]", "Rui")
        page.fill("[name=last_name]", "Exemplo")
        page.fill("[name=email]", "rui@example.com")
        heard: list[object] = []
        page.on("websocket", lambda opened: opened.on("framereceived", lambda it: heard.append(it)))
        page.click("form.step .button")
        expect(page.locator("#ticket[data-state=processing]")).to_be_visible()
        wait_for_socket(page, heard)
        with stack.frozen("ws"):
            create_due_guests()
            wait_for(lambda: GuestRequest.objects.get().state == "created")
            page.clock.fast_forward(6_500)
            expect(page.locator("#ticket[data-state=created]")).to_be_visible(timeout=5_000)
