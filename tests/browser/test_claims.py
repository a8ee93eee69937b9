"""Claims in a real browser: a visitor claims a phone, and its holder objects by a link."""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from accounts.email_links import signature_for
from accounts.models import Claim, User
from guests.claims.services import grant_claim
from guests.models import Guest
from guests.passes.holders import link_for_holder
from guests.qr.codes import pass_url
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.browser import (
    ask_to_join,
    assert_accessible,
    fill_in_registration,
    give_phone,
    open_link,
    send,
    shoot,
    watched,
)
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

TYPED, PHONE = "961 555 777", "+351961555777"


def held_place() -> Guest:
    return make_guest(make_event(), make_account(phone=PHONE))


def open_claim_form(page: Page) -> None:
    page.get_by_text("Este email não é meu").click()
    expect(page.get_by_text("O que acontece depois")).to_be_visible()
    fill_in_registration(page, email="marta@example.org")


@pytest.mark.slow
def test_a_claim_and_the_holders_answer(stack: Stack, phone: BrowserContext) -> None:
    guest, page = held_place(), phone.new_page()
    errors = watched(page)
    open_link(page, guest.event)
    ask_to_join(page)
    give_phone(page, TYPED)
    open_claim_form(page)
    assert_accessible(page)
    shoot(page, "claim")
    send(page)
    expect(page.locator("[data-claim=open]")).to_be_visible()
    assert_accessible(page)
    shoot(page, "claim-made")

    holder, claim = phone.new_page(), Claim.objects.get()
    proof = signature_for(guest.account, f"claim:{claim.pk}")
    holder.goto(f"/from-email/claim/{claim.pk}/?proof={proof}")
    expect(holder.locator("[data-claim=objected]")).to_be_visible()
    assert_accessible(holder)
    shoot(holder, "claim-objected")
    page.reload()
    expect(page.locator("[data-claim=objected]")).to_be_visible()

    holder.get_by_role("button", name="retirar a oposição").click()
    expect(holder.locator("[data-claim=open]")).to_be_visible()
    assert_accessible(holder)
    holder.reload()
    expect(holder.locator("[data-claim=open]")).to_be_visible()
    grant_claim(claim, acting_user=make_staff())
    page.reload()
    expect(page.locator("[data-claim=granted]")).to_be_visible()
    assert_accessible(page)
    assert errors == []


def test_the_same_without_javascript(stack: Stack, page_without_js: Page) -> None:
    guest, page = held_place(), page_without_js
    open_link(page, guest.event)
    page.get_by_role("link", name="Quero entrar na lista").click()
    give_phone(page, TYPED)
    open_claim_form(page)
    send(page)
    expect(page.locator("[data-claim=open]")).to_be_visible()
    page.reload()
    expect(page.locator("[data-claim=open]")).to_be_visible()
    assert User.objects.get(phone=PHONE).email == guest.account.email


def test_the_link_in_the_qr_email_opens_the_pass_in_another_browser(
    stack: Stack, page: Page
) -> None:
    guest = held_place()
    path = pass_url(guest.qr_token or "").partition("/guest/")[2]
    page.goto(f"/guest/{path}")
    expect(page.get_by_role("link", name="Entrar com o meu telemóvel")).to_be_visible()
    assert_accessible(page)
    page.goto("/guest/" + link_for_holder(guest).partition("/guest/")[2])
    expect(page.locator(".pass-code img")).to_be_visible()
    assert_accessible(page)
    page.goto(f"/guest/{path}")
    expect(page.get_by_text(guest.name)).to_be_visible()
