"""Every email in a browser: no wider than a phone, and readable in light and in dark mode, with and
without `<style>`, and with and without images.

With SNAP_SCREENSHOTS set to a folder, the slow test saves a picture of each email there.
"""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from guests.models import Event
from notifications.previews import kinds_with_samples
from tests.factories import make_event, make_staff
from tests.helpers.admin import admin_url, sign_in_to_admin, watch_admin
from tests.helpers.browser import PHONE_SCREEN, assert_accessible, shoot, width_beyond
from tests.helpers.email_screens import ExampleEmail, example_emails, without_style
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.django_db, pytest.mark.browser]

SMALL_PHONE = {"width": 320, "height": 568}
DESKTOP = {"width": 600, "height": 800}
# The card of an email.
LIGHT, DARK = "rgb(255, 253, 250)", "rgb(27, 22, 35)"
ONLY_IN_TESTS = {"note", "bulk_note"}
# The rules of WCAG. An email is shown inside a page that has landmarks of its own.
EMAIL_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
# The elements that reach out of the window.
TOO_WIDE = """() => {
    const root = document.documentElement;
    const wrong = root.scrollWidth > root.clientWidth ? [`${root.scrollWidth}`] : [];
    for (const each of document.body.querySelectorAll("*")) {
        if (each.getBoundingClientRect().right > innerWidth + 1) {
            wrong.push(each.outerHTML.slice(0, 100));
        }
    }
    return wrong.slice(0, 4);
}"""


def shapes(email: ExampleEmail) -> dict[str, str]:
    """Return an email as different mailboxes show it."""
    return {
        "whole": email.with_images(),
        "no images": email.without_images(),
        "no style": without_style(email.without_images()),
    }


def all_kinds() -> list[str]:
    return [kind for kind in kinds_with_samples() if kind not in ONLY_IN_TESTS]


def assert_fits(page: Page, html: str, name: str) -> None:
    page.set_content(html, wait_until="commit")
    assert page.evaluate(TOO_WIDE) == [], name


@pytest.fixture
def event() -> Event:
    return make_event(
        title="Noite de São João",
        venue="Armazém do Cais",
        address="Rua do Ouro 12, Porto",
        poster="posters/0123456789abcdef_800.jpg",
    )


@pytest.mark.slow
def test_no_email_is_wider_than_a_small_phone_with_words_of_any_length(browser: Browser) -> None:
    unbroken = make_event(
        title="T" * 120,
        venue="V" * 120,
        address="A" * 200,
        poster="posters/0123456789abcdef_800.jpg",
    )
    with browser.new_context(viewport=SMALL_PHONE) as phone:  # type: ignore[arg-type]
        page = phone.new_page()
        for email in example_emails(unbroken, all_kinds(), ["pt-pt"]):
            for shape, html in shapes(email).items():
                long_name = html.replace("Inês", "F" * 60).replace("EXEMPLO", "E" * 20)
                assert_fits(page, long_name, f"{email.name} {shape}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("viewport", [SMALL_PHONE, DESKTOP], ids=["320", "600"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_email_can_be_read(
    browser: Browser, event: Event, viewport: Any, scheme: Any
) -> None:
    with browser.new_context(viewport=viewport, color_scheme=scheme) as context:
        page = context.new_page()
        for email in example_emails(event, all_kinds()):
            for shape, html in shapes(email).items():
                assert_fits(page, html, f"{email.name} {shape}")
                if shape != "no images" and email.language == "pt-pt":
                    assert_accessible(page, EMAIL_RULES)
                if shape == "whole":
                    shoot(page, f"email-{email.name}-{scheme}-{viewport['width']}")


def test_dark_mode_changes_the_colours_of_an_email(browser: Browser, event: Event) -> None:
    (email,) = example_emails(event, ["waitlisted"], ["en"])
    found = {}
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            page = context.new_page()
            page.set_content(email.html, wait_until="commit")
            card = page.locator(".card")
            found[scheme] = card.evaluate("card => getComputedStyle(card).backgroundColor")
    assert found == {"light": LIGHT, "dark": DARK}


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("width", [320, 1280])
def test_staff_look_at_an_email_and_send_themselves_a_test(
    browser: Browser, stack: Stack, width: int
) -> None:
    event = make_event(title="Noite de São João")
    staff = make_staff()
    screen = PHONE_SCREEN | {"viewport": {"width": width, "height": 700}, "is_mobile": False}
    with browser.new_context(**screen, base_url=stack.url) as context:
        sign_in_to_admin(context, stack, staff)
        page = context.new_page()
        errors = watch_admin(page)
        page.goto(admin_url("guests_event_change", event.pk))
        page.locator("#content-main").get_by_role("link", name="Emails", exact=True).click()
        assert_looks_right(page, f"emails-{width}")
        page.locator(".email-kind a[href*=qr_code]").first.click()
        frame = page.frame_locator(".email-frame").first
        expect(frame.get_by_text("estás na lista.")).to_be_visible()
        image = frame.locator("img.qr")
        assert image.evaluate("image => image.naturalWidth") > 0
        assert errors == []
        assert_looks_right(page, f"email-{width}")
        assert colour_of_card(page) == LIGHT
        page.get_by_role("link", name="Escuro").click()
        page.get_by_role("link", name="Computador").click()
        assert_looks_right(page, f"email-dark-{width}")
        assert colour_of_card(page) == DARK
        page.get_by_role("button", name="Enviar-me um teste").first.click()
        expect(page.locator(".messagelist")).to_contain_text(staff.email or "no address")


def colour_of_card(page: Page) -> str:
    card = page.frame_locator(".email-frame").first.locator(".card")
    colour: str = card.evaluate("card => getComputedStyle(card).backgroundColor")
    return colour


def assert_looks_right(page: Page, name: str) -> None:
    assert width_beyond(page) <= 0, name
    shoot(page, f"admin-{name}")
    assert_accessible(page)
