"""Steps and checks for tests that drive a phone in a real Chromium.

With SNAP_SCREENSHOTS set to a folder, `shoot` saves a screenshot of every state there.
"""

import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, expect

from accounts.models import User
from guests.models import Event
from tests.helpers.sessions import session_of
from tests.helpers.stack import Stack, wait_for

PHONE_SCREEN: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "locale": "pt-PT",
    # Drawing a spinner without a GPU takes a whole core.
    "reduced_motion": "reduce",
}
# Chromium logs these as errors: they are the responses to a form with a mistake.
REFUSED_FORMS = ("status of 422", "status of 409")
# Text that is still fading in has less contrast than it will have.
NO_ANIMATION_RUNS = """document.getAnimations().every(each =>
    each.playState !== "running" ||
    each.effect.getComputedTiming().iterations === Infinity)"""

_numbers = count(1)


# Checks -------------------------------------------------------------------------------------------


def shoot(page: Page, name: str) -> None:
    """Save a screenshot if SNAP_SCREENSHOTS is set."""
    if folder := os.environ.get("SNAP_SCREENSHOTS"):
        page.wait_for_timeout(400)  # Animations end within it.
        page.screenshot(path=Path(folder) / f"{name}.png")


def watched(page: Page) -> list[str]:
    """Return a list that collects the errors of a page: scripts, and violations of the CSP."""
    errors: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(each in message.text for each in REFUSED_FORMS):
            errors.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


def wait_until(page: Page, expression: str) -> None:
    """Wait until an expression is true in the page.

    Playwright's own `wait_for_function` evaluates text in the page, which the content security
    policy forbids.
    """
    wait_for(lambda: _evaluate(page, expression))


def _evaluate(page: Page, expression: str) -> Any:
    """Return the value of an expression, None while the page is being replaced by another one."""
    with suppress(Error):
        return page.evaluate(expression)
    page.wait_for_load_state()
    return None


def assert_accessible(page: Page, options: dict[str, Any] | None = None) -> None:
    """Check that axe finds no violation on a page."""
    found: Any = wait_for(lambda: _run_axe(page, options), 30)
    assert found.violations_count == 0, found.generate_report()


def _run_axe(page: Page, options: dict[str, Any] | None) -> AxeResults | None:
    """Return what axe finds, None if the page has replaced itself meanwhile, as some do."""
    wait_until(page, NO_ANIMATION_RUNS)
    with suppress(Error):
        return Axe().run(page, options=options)
    page.wait_for_load_state()
    return None


def expect_qr(page: Page, timeout: float = 20_000) -> None:
    """Wait until the page shows the QR code. The timeout is in milliseconds."""
    image = page.locator("#ticket[data-state=created] .pass-code img")
    expect(image).to_be_visible(timeout=timeout)
    wait_until(page, "document.querySelector('#ticket .pass-code img').naturalWidth > 0")


# Steps --------------------------------------------------------------------------------------------


def open_link(page: Page, event: Event, promoter: str = "") -> None:
    page.goto(f"/promo/{event.slug}/" + (f"{promoter}/" if promoter else ""))


def ask_to_join(page: Page) -> None:
    page.get_by_role("link", name="Quero entrar na lista").click()
    expect(page.locator("[name=phone]")).to_be_visible()


def new_phone() -> str:
    """Return a Portuguese number that no account of the test run has."""
    return f"96{next(_numbers):07}"


def give_phone(page: Page, phone: str) -> None:
    page.fill("[name=phone]", phone)
    send(page)


def fill_in_registration(page: Page, email: str = "ines@example.com") -> None:
    expect(page.locator("[name=first_name]")).to_be_visible()
    page.fill("[name=first_name]", "Inês")
    page.fill("[name=last_name]", "Exemplo")
    page.fill("[name=email]", email)


def send(page: Page) -> None:
    """Submit the form of the step on screen."""
    page.click("form.step .button")


def sign_in(phone: BrowserContext, stack: Stack, account: User) -> None:
    """Give a phone the session cookie of an account."""
    name, value = settings.SESSION_COOKIE_NAME, session_of(account)
    phone.add_cookies([{"name": name, "value": value, "url": stack.url}])


def width_beyond(page: Page) -> int:
    """Return how many pixels wider than the screen a page is, once it has loaded."""
    page.wait_for_load_state()
    wider: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return wider
