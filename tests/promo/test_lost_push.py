"""A page whose socket is open and brings nothing, as with Redis away."""

import pytest
from playwright.sync_api import Page, expect

from guests.creation import create_due_guests
from guests.models import GuestRequest
from tests.factories import make_event
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.processes]


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
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(frame)))
        page.on("websocket", lambda w: (print("WS", w.url), w.on("socketerror", lambda e: print("ERR", e)), w.on("close", lambda _: print("CLOSE"))))
        page.click("form.step .button")
        expect(page.locator("#ticket[data-state=processing]")).to_be_visible()
        page.wait_for_timeout(3000); print("HEARD", heard); print(stack.log("ws")[-1500:])
        with stack.frozen("ws"):
            create_due_guests()
            wait_for(lambda: GuestRequest.objects.get().state == "created")
            page.clock.fast_forward(6_500)
            expect(page.locator("#ticket[data-state=created]")).to_be_visible(timeout=5_000)
