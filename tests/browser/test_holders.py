"""The pages of a holder on a phone: the code comes first, and scripts move the focus to it."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, expect

from guests.models import Guest
from guests.requests.giving_back import free_places_given_back
from tests.factories import make_account, make_event, make_guest
from tests.helpers.browser import (
    NO_ANIMATION_RUNS,
    PHONE_SCREEN,
    ask_to_join,
    assert_accessible,
    expect_qr,
    fill_in_registration,
    give_phone,
    new_phone,
    open_link,
    send,
    shoot,
    sign_in,
    wait_until,
    watched,
    width_beyond,
)
from tests.helpers.places import pass_of_only_guest
from tests.helpers.scans import scan
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

LONG_TITLE = "Uma festa com um título mesmo muito comprido, que não cabe numa linha nem em duas"
EVENT = {"title": LONG_TITLE, "address": "Rua do Ouro 12, Porto", "time_zone": "Atlantic/Azores"}


def held(**fields: object) -> Guest:
    return make_guest(make_event(**EVENT | fields), make_account(email="ines@gmial.com"))


def paths_of(guest: Guest) -> list[str]:
    ticket = guest.guestrequest_set.get().ticket_id
    event = f"/promo/{guest.event.slug}/"
    return [event, f"{event}ticket/{ticket}/", f"/guest/{guest.qr_token}"]


def box_of_code(page: Page) -> FloatRect:
    box = page.locator(".pass-code img").bounding_box()
    assert box is not None
    return box


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 568), (844, 390)])
def test_the_whole_code_is_on_screen_first(
    stack: Stack, browser: Browser, width: int, height: int
) -> None:
    guest = held()
    screen = PHONE_SCREEN | {"viewport": {"width": width, "height": height}}
    with browser.new_context(**screen, base_url=stack.url) as phone:
        sign_in(phone, stack, guest.account)
        page = phone.new_page()
        for path in paths_of(guest):
            page.goto(path)
            # The card grows into its place.
            wait_until(page, NO_ANIMATION_RUNS)
            box = box_of_code(page)
            assert box["y"] > 0
            assert box["y"] + box["height"] <= height
            assert box["y"] < height / 2
            assert box["width"] >= 200
            assert width_beyond(page) <= 0
            assert page.locator("main").inner_text().count(LONG_TITLE) == 1
            assert page.locator("main time").count() == 1
    if (width, height) == (390, 844):
        assert box["y"] + box["height"] <= height / 2


def test_the_code_comes_first_on_the_page_of_a_step(stack: Stack, page: Page) -> None:
    page.goto(f"/promo/{make_event(**EVENT).slug}/-/phone/")
    give_phone(page, new_phone())
    fill_in_registration(page)
    send(page)
    expect_qr(page)
    # The card has the title and the date.
    line = page.locator(".event-line").bounding_box()
    assert line is not None
    assert line["height"] <= 1
    assert box_of_code(page)["y"] < PHONE_SCREEN["viewport"]["height"] / 4
    assert_accessible(page)


def test_title_date_address_and_calendar_are_on_every_page(
    stack: Stack, phone: BrowserContext
) -> None:
    guest = held()
    sign_in(phone, stack, guest.account)
    page = phone.new_page()
    for path in paths_of(guest):
        page.goto(path)
        for text in (LONG_TITLE, "Rua do Ouro 12, Porto", "Atlantic/Azores", "i•••@gmial.com"):
            expect(page.get_by_text(text).first).to_be_visible()
        for name in ("Guardar imagem", "Pôr no calendário", "Corrigir o email"):
            expect(page.get_by_role("link", name=name)).to_be_visible()
        expect(page.get_by_role("button", name="devolver o meu lugar")).to_be_visible()
        assert_accessible(page)


def test_the_focus_moves_to_the_heading_when_the_code_appears(stack: Stack, page: Page) -> None:
    errors = watched(page)
    open_link(page, make_event())
    ask_to_join(page)
    give_phone(page, new_phone())
    fill_in_registration(page)
    send(page)
    expect_qr(page)
    heading = page.locator("#ticket h2")
    expect(heading).to_have_text("Estás na lista")
    expect(heading).to_be_focused()
    # It is the focus that is read out. A live region would repeat it.
    assert page.locator("#ticket-news").inner_text() == ""
    assert errors == []


def test_the_image_is_saved_with_the_code(stack: Stack, page: Page, tmp_path: Path) -> None:
    guest = held()
    sign_in(page.context, stack, guest.account)
    page.goto(paths_of(guest)[0])
    with page.expect_download() as download:
        page.get_by_role("link", name="Guardar imagem").click()
    assert download.value.suggested_filename == f"{guest.event.slug}.png"
    download.value.save_as(tmp_path / "pass.png")
    assert scan((tmp_path / "pass.png").read_bytes()) == pass_of_only_guest(stack)


def test_giving_back_and_undoing_without_javascript(stack: Stack, page_without_js: Page) -> None:
    page, guest = page_without_js, held()
    sign_in(page.context, stack, guest.account)
    for path in paths_of(guest)[1:]:
        page.goto(path)
        page.get_by_role("button", name="devolver o meu lugar").click()
        expect(page.get_by_text("Devolveste o teu lugar")).to_be_visible()
        assert page.locator(".pass-code img").count() == 0
        page.get_by_role("button", name="Ficar com o meu lugar").click()
        expect(page.locator(".pass-code img")).to_be_visible()


@pytest.mark.slow
def test_a_countdown_shows_how_long_it_can_be_undone(stack: Stack, page: Page) -> None:
    guest = held()
    sign_in(page.context, stack, guest.account)
    page.clock.install()
    page.goto(paths_of(guest)[0])
    page.get_by_role("button", name="devolver o meu lugar").click()
    expect(page.locator(".clock")).to_contain_text("00:")
    assert_accessible(page)
    shoot(page, "given-back")
    page.clock.fast_forward(61_000)
    expect(page.get_by_role("button", name="Ficar com o meu lugar")).to_be_hidden()
    free_places_given_back()
    assert Guest.objects.get().is_leaving, "the database's minute is not over"


def test_the_page_of_a_place_leads_to_the_correction_of_the_email(stack: Stack, page: Page) -> None:
    guest = held()
    sign_in(page.context, stack, guest.account)
    page.goto(paths_of(guest)[0])
    page.get_by_role("link", name="Corrigir o email").click()
    expect(page.get_by_role("heading", name="Qual é o email certo?")).to_be_visible()
    assert_accessible(page)
    shoot(page, "correct-email")
