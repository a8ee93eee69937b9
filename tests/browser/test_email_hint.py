"""A person who mistypes a domain reads it before sending, and loses no tap in a rush."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from accounts.mail_domains import COMMON_DOMAINS, MISTAKEN_DOMAINS, RIGHT_DOMAINS
from accounts.mailboxes import likely_domain
from guests.models import Guest
from tests.factories import make_event
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
    watched,
    width_beyond,
)
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ALERT = ".ticket-alert"


def open_registration(page: Page) -> None:
    open_link(page, make_event())
    ask_to_join(page)
    give_phone(page, new_phone())
    fill_in_registration(page, "")


def type_email(page: Page, email: str) -> None:
    """Type into the field as a person does, and wait for the hint's module."""
    page.locator("[name=email]").focus()
    page.keyboard.type(email)


def slips_of(domain: str) -> set[str]:
    """Return texts that differ from a domain in one place."""
    slips = set()
    for at in range(len(domain)):
        before, after = domain[:at], domain[at + 1 :]
        slips |= {before + after, before + domain[at] * 2 + after}
        slips |= {f"{before}{letter}{after}" for letter in "apz."}
        slips.add(before + after[:1] + domain[at] + after[1:])
    return slips


def test_the_script_and_the_server_agree_on_every_domain(stack: Stack, page: Page) -> None:
    open_registration(page)
    path = page.locator("#email-hint").get_attribute("data-script")
    domains = {*COMMON_DOMAINS, *RIGHT_DOMAINS, *MISTAKEN_DOMAINS, "", "x", "snap.example"}
    for common in COMMON_DOMAINS:
        domains |= slips_of(common)
    asked = sorted(domains)
    answers = page.evaluate(
        "async ([path, domains]) => {"
        "  const { likelyDomain } = await import(path);"
        "  return domains.map((domain) => likelyDomain(`ana@${domain}`));"
        "}",
        [path, asked],
    )
    expected = [likely_domain(f"ana@{domain}") for domain in asked]
    assert dict(zip(asked, answers, strict=True)) == dict(zip(asked, expected, strict=True))
    assert len(set(expected)) > 40


def test_one_tap_accepts_the_hint(stack: Stack, page: Page) -> None:
    errors = watched(page)
    open_registration(page)
    type_email(page, "ines@gmial.com")
    hint = page.locator(".email-hint")
    expect(hint).to_contain_text("Querias dizer ines@gmail.com?")
    assert_accessible(page)
    shoot(page, "email-hint")
    page.get_by_role("button", name="Sim, usa este").click()
    expect(page.locator("[name=email]")).to_have_value("ines@gmail.com")
    expect(hint).to_be_empty()
    send(page)
    expect_qr(page)
    expect(page.locator(ALERT)).to_have_count(0)
    assert Guest.objects.get().account.email == "ines@gmail.com"
    assert not errors


@pytest.mark.slow
def test_an_address_that_was_kept_is_not_asked_about_again(stack: Stack, page: Page) -> None:
    open_registration(page)
    type_email(page, "ines@gmial.com")
    page.get_by_role("button", name="Não, está certo").click()
    hint = page.locator(".email-hint")
    expect(hint).to_be_empty()
    page.keyboard.type("m")
    expect(hint).to_be_empty()
    page.keyboard.press("Backspace")
    page.wait_for_timeout(700)
    expect(hint).to_be_empty()
    send(page)
    expect_qr(page)
    expect(page.locator(ALERT)).to_have_count(0)
    page.reload()
    expect_qr(page)
    expect(page.locator(ALERT)).to_have_count(0)
    assert Guest.objects.get().account.email == "ines@gmial.com"


def test_the_hint_blocks_nobody(stack: Stack, page: Page) -> None:
    """A form that is sent before the hint appears is taken, and the ticket asks then."""
    open_registration(page)
    type_email(page, "ines@gmial.com")
    page.keyboard.press("Enter")
    expect_qr(page)
    expect(page.locator(ALERT)).to_contain_text("gmail.com")


def test_a_usual_domain_has_no_hint(stack: Stack, page: Page) -> None:
    open_registration(page)
    type_email(page, "ines@sapo.pt")
    page.wait_for_timeout(700)
    expect(page.locator(".email-hint")).to_be_empty()


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_hint_fits_a_narrow_screen(stack: Stack, browser: Browser, color_scheme: str) -> None:
    screen: dict[str, Any] = {"viewport": {"width": 320, "height": 568}, "locale": "en-GB"}
    screen["color_scheme"] = color_scheme
    with browser.new_context(**screen, base_url=stack.url) as phone:
        page = phone.new_page()
        page.goto(f"/promo/{make_event().slug}/-/phone/")
        give_phone(page, new_phone())
        fill_in_registration(page, "")
        type_email(page, "maria.madalena.de-albuquerque.exemplo@hotmial.com")
        hint = page.locator(".email-hint")
        expect(hint).to_contain_text("Did you mean")
        hint.scroll_into_view_if_needed()
        assert_accessible(page)
        shoot(page, f"email-hint-320-{color_scheme}")
        assert width_beyond(page) <= 0


@pytest.mark.slow
def test_the_hint_is_at_the_correction_of_the_email_too(stack: Stack, page: Page) -> None:
    open_registration(page)
    type_email(page, "ines@example.com")
    send(page)
    expect_qr(page)
    page.goto(f"/promo/{Guest.objects.get().event.slug}/-/email/")
    expect(page.locator("[name=email]")).to_be_visible()
    page.fill("[name=email]", "")
    type_email(page, "ines@hotmial.com")
    expect(page.locator(".email-hint")).to_contain_text("ines@hotmail.com")


@pytest.mark.slow
def test_a_field_that_had_its_focus_before_the_script_ran_has_the_hint(
    stack: Stack, page: Page
) -> None:
    """A whole page focuses its field while its scripts are still on their way."""
    open_registration(page)
    type_email(page, "ines@example.com")
    send(page)
    expect_qr(page)

    def respond_late(route: Route) -> None:
        page.wait_for_timeout(500)
        route.continue_()

    page.route("**/js/steps*.js", respond_late)
    page.goto(f"/promo/{Guest.objects.get().event.slug}/-/email/", wait_until="domcontentloaded")
    field = page.locator("[name=email]")
    expect(field).to_be_focused()
    page.keyboard.type("ines@hotmial.com")
    expect(page.locator(".email-hint")).to_contain_text("ines@hotmail.com")
