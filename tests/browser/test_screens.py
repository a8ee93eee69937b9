"""Every screen of a guest, in a real browser: accessible, no wider than the phone, and all of it in
reach, in both languages, light and dark, with texts of any length.

With SNAP_SCREENSHOTS set to a folder, each test saves a picture of each screen there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from tests.factories import make_event
from tests.helpers.browser import (
    NO_ANIMATION_RUNS,
    PHONE_SCREEN,
    assert_accessible,
    give_phone,
    new_phone,
    shoot,
    wait_until,
)
from tests.helpers.screens import ALL, Screens, walk_events
from tests.helpers.stack import Stack
from tests.helpers.walks import UNBROKEN, Texts, Walk

pytestmark = [pytest.mark.browser, pytest.mark.processes]

SMALL_PHONE = {"width": 320, "height": 568}
ON_ITS_SIDE = {"width": 844, "height": 390}
# A window of 1280 by 720 at a zoom of 200 %.
ZOOMED = {"width": 640, "height": 360}
LONG_TITLE = Texts(title="Uma noite com um nome que ninguém diz até ao fim, " * 2)

each_walk = pytest.mark.parametrize("screens", ALL, ids=lambda each: each.__name__)

# Scrolls to each thing that can be tapped, and returns those that something else covers.
OUT_OF_REACH = """() => {
    const root = document.querySelector("dialog[open]") ?? document;
    const wrong = [];
    for (const each of root.querySelectorAll("a[href], button, input, select")) {
        const isSeen = each.type !== "hidden" && each.checkVisibility({visibilityProperty: true});
        // The line of the event is hidden beside a place that names it, until it has the focus.
        const clipped = getComputedStyle(each.closest(".event-line") ?? each).clipPath;
        const isForKeyboards = clipped !== "none";
        if (!isSeen || isForKeyboards || each.closest(".skip, altcha-widget, [aria-hidden=true]")) {
            continue;
        }
        each.scrollIntoView({block: "center", inline: "center"});
        // The middle of a link of many lines can be where its first line is out of sight.
        window.scrollBy(0, each.getClientRects()[0].y - window.innerHeight / 2);
        const box = each.getClientRects()[0];
        const found = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        const reached = found && (each.contains(found) || found.contains(each));
        if (!reached || found === document.documentElement || found === document.body) {
            wrong.push([each, found].map((one) => one?.outerHTML.slice(0, 90)).join(" behind "));
        }
    }
    scrollTo(0, 0);
    return wrong;
}"""
# The screens that are wider than the window, and which of their elements are.
TOO_WIDE = """() => {
    const wrong = [];
    for (const each of [document.documentElement, document.querySelector("dialog[open]")]) {
        if (each && each.scrollWidth > each.clientWidth) {
            wrong.push(`${each.tagName}: ${each.scrollWidth} > ${each.clientWidth}`);
        }
    }
    for (const each of document.querySelectorAll("main *, footer *")) {
        const box = each.getBoundingClientRect();
        const isHidden = each.closest(".visually-hidden, [aria-hidden=true], .event-poster");
        if (wrong.length && box.right > innerWidth + 1 && !isHidden) {
            wrong.push(each.outerHTML.slice(0, 100));
        }
    }
    return wrong.slice(0, 5);
}"""


@contextmanager
def phone_with(
    browser: Browser, stack: Stack, size: dict[str, int], **options: Any
) -> Iterator[Page]:
    screen = PHONE_SCREEN | {"viewport": size, "device_scale_factor": 1} | options
    with browser.new_context(**screen, base_url=stack.url) as phone:
        yield phone.new_page()


def walk_through(
    stack: Stack, page: Page, screens: Screens, texts: Texts, kind: str
) -> Iterator[str]:
    """Yield the name of each screen of a walk, and save its picture."""
    for name in screens(Walk(stack, page.context, page, texts)):
        shoot(page, f"{kind}-{name}")
        yield name


def widest_parts(page: Page) -> list[str]:
    found: list[str] = page.evaluate(TOO_WIDE)
    return found


def parts_out_of_reach(page: Page) -> list[str]:
    # The sheet of the dialog rises from below the screen.
    wait_until(page, NO_ANIMATION_RUNS)
    found: list[str] = page.evaluate(OUT_OF_REACH)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@each_walk
@pytest.mark.parametrize(("language", "scheme"), [("pt-PT", "light"), ("en-GB", "dark")])
def test_every_screen_is_accessible(
    stack: Stack, browser: Browser, screens: Screens, language: str, scheme: Any
) -> None:
    options = {"locale": language, "color_scheme": scheme}
    with phone_with(browser, stack, PHONE_SCREEN["viewport"], **options) as page:
        for _ in walk_through(stack, page, screens, Texts(), f"{language}-{scheme}"):
            assert_accessible(page)


@pytest.mark.slow
@pytest.mark.timeout(300)
@each_walk
def test_no_screen_scrolls_sideways_with_words_of_any_length(
    stack: Stack, browser: Browser, screens: Screens
) -> None:
    wide = {}
    with phone_with(browser, stack, SMALL_PHONE, is_mobile=False) as page:
        for name in walk_through(stack, page, screens, UNBROKEN, "unbroken"):
            if found := widest_parts(page):
                wide[name] = found
    assert wide == {}


def test_an_event_with_long_words_is_no_wider_than_a_small_phone(
    stack: Stack, browser: Browser
) -> None:
    with phone_with(browser, stack, SMALL_PHONE, is_mobile=False) as page:
        for name in walk_through(stack, page, walk_events, UNBROKEN, "unbroken"):
            assert widest_parts(page) == [], name
            if name == "event-open":
                break


def test_a_refusal_has_one_cross_and_a_wrong_form_its_focus(stack: Stack, page: Page) -> None:
    """The cross of a refusal beside the one that closes the dialog was taken for it."""
    closed = make_event(list_closes_at=timezone.now() - timedelta(minutes=1))
    for address, crosses in [("", 0), ("-/phone/", 1)]:
        page.goto(f"/promo/{closed.slug}/{address}")
        if not address:
            page.locator("[data-first-step]").first.click()
        give_phone(page, "1")
        field = page.locator("[name=phone]")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        error = page.locator(f"#{field.get_attribute('aria-describedby')}")
        expect(error).to_contain_text("número de telemóvel")
        give_phone(page, new_phone())
        expect(page.locator("#flow [role=alert]")).to_be_visible()
        signs = page.locator(".sign-cross")
        assert [signs.nth(each).is_visible() for each in range(signs.count())].count(
            True
        ) == crosses


def test_typing_a_name_chooses_its_country(stack: Stack, page: Page) -> None:
    page.goto(f"/promo/{make_event().slug}/-/phone/")
    select = page.locator("[name=country]")
    expect(select).to_have_value("PT")
    select.focus()
    page.keyboard.type("Vie")
    expect(select).to_have_value("VN")
    page.wait_for_timeout(1100)  # Chromium begins a new word after a second.
    page.keyboard.type("bra")
    expect(select).to_have_value("BR")


@pytest.mark.slow
@pytest.mark.timeout(300)
@each_walk
@pytest.mark.parametrize(
    ("size", "text_size"), [(ON_ITS_SIDE, 100), (ZOOMED, 150), (SMALL_PHONE, 100)]
)
def test_everything_that_can_be_tapped_is_in_reach(
    stack: Stack, browser: Browser, screens: Screens, size: dict[str, int], text_size: int
) -> None:
    away = {}
    kind = f"{size['width']}x{size['height']}"
    with phone_with(browser, stack, size) as page:
        for name in walk_through(stack, page, screens, LONG_TITLE, kind):
            # A pushed hint may load the page again just now: the locator waits for its document.
            page.locator("html").evaluate(
                "(html, size) => {html.style.fontSize = size}", f"{text_size}%"
            )
            if found := parts_out_of_reach(page):
                away[name] = found
    assert away == {}
