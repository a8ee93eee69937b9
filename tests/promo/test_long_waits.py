"""Pages that wait for long: whose socket brings nothing, or whose worker does not come."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from playwright.sync_api import Page, expect

from guests.models import GuestRequest
from guests.requests.creating import create_due_guests
from tests.factories import make_event
from tests.helpers.stack import Stack, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_a_page_says_after_a_while_that_it_is_busy(stack: Stack, page: Page) -> None:
    """Not the second that it promised at first, for as long as it takes."""
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
    heard: list[object] = []
    page.on("websocket", lambda opened: opened.on("framereceived", lambda it: heard.append(it)))
    with stack.frozen("worker"), stack.frozen("sweeper"):
        ask_for_a_place(page)
        expect(page.locator("#ticket[data-state=processing]")).to_be_visible()
        wait_for_socket(page, heard)
        with stack.frozen("ws"):
            create_due_guests()
            wait_for(lambda: GuestRequest.objects.get().state == "created")
            page.clock.fast_forward(6_500)
            expect(page.locator("#ticket[data-state=created]")).to_be_visible(timeout=5_000)
