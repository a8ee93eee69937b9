"""The challenge in a real browser: under the CSP, with JavaScript and without."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.factories import make_event
from tests.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]


@pytest.fixture(scope="module")
def web(_stack: Stack) -> Iterator[str]:
    """Give the address of a web that lets five requests a minute through."""
    given = {"LIMIT_IP": "5", "CHALLENGE_WAIT": "2", "CHALLENGE_COST": "1000"}
    with _stack.another_web(**given) as url:
        yield url


def test_a_browser_past_the_limit_solves_and_goes_on(web: str, phone: BrowserContext) -> None:
    event = make_event()
    page, complaints = phone.new_page(), []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for _ in range(6):
        page.goto(f"{web}/promo/{event.slug}/")
    expect(page.get_by_role("heading", name=event.title)).to_be_visible(timeout=30_000)
    assert page.url.endswith(f"/promo/{event.slug}/")
    assert [each for each in complaints if "429" not in each] == []


def test_in_the_dialog_too(web: str, phone: BrowserContext) -> None:
    event = make_event()
    page = phone.new_page()
    for _ in range(5):
        page.goto(f"{web}/promo/{event.slug}/")
    page.locator("[data-first-step]").click()
    page.locator("#flow input[name=phone]").fill("912 000 111")
    page.locator("#flow form.step .button").click()
    expect(page.locator("#flow [data-challenge]")).to_be_attached()
    # What was typed is sent again: the step that follows is shown.
    expect(page.locator("#flow input[name=first_name]")).to_be_visible(timeout=30_000)
    expect(page.locator("#flow")).to_contain_text("912 000 111")
    assert "/-/register/?s=" in page.url


def test_without_javascript_a_browser_waits_and_goes_on(web: str, page_without_js: Page) -> None:
    event = make_event()
    for _ in range(6):
        page_without_js.goto(f"{web}/promo/{event.slug}/")
    page_without_js.locator("[data-slow] button").click()
    expect(page_without_js.get_by_role("heading", name=event.title)).to_be_visible(timeout=30_000)
