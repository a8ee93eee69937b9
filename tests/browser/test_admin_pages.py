"""Every page of admin in a browser: axe finds nothing, and nothing is wider than the screen."""

from collections.abc import Iterator

import pytest
from django.contrib import admin as django_admin
from django.http import HttpRequest
from django.test import RequestFactory
from playwright.sync_api import Browser, BrowserContext, Page, expect
from waffle.models import Switch

from accounts.models import BlockedPhone, Claim, User
from guests.models import Event, Guest, GuestRequest
from notifications.models import Email
from snap.control.modes import EMERGENCY
from snap.control.switches import BATCHING
from snap.monitor.changes import set_mode
from tests.factories import make_event_promoter, make_guest, make_request, make_staff, make_team
from tests.helpers.admin import admin_url, sign_in_to_admin, watch_admin
from tests.helpers.browser import PHONE_SCREEN, assert_accessible, shoot, width_beyond
from tests.helpers.list_messages import make_message, sent_message
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.django_db, pytest.mark.browser]

DESKTOP = {"viewport": {"width": 1280, "height": 800}, "locale": "pt-PT"}
SCREENS = {"phone": PHONE_SCREEN, "desktop": DESKTOP}
NARROW = {**PHONE_SCREEN, "viewport": {"width": 320, "height": 568}}


@pytest.fixture
def guest(stack: Stack) -> Guest:
    """A guest with all that the list and the page show."""
    at = make_event_promoter(team=make_team())
    guest = make_guest(at.event, promoter=at.promoter, team=at.team)
    Guest.objects.update(note="Mesa 4, vem com a irmã")
    return guest


def open_and_check(page: Page, path: str) -> None:
    response = page.goto(path)
    assert response is not None
    assert response.status == 200, path
    assert width_beyond(page) <= 0, path
    assert_accessible(page)


def assert_title_is_clear(page: Page) -> None:
    """Check that no button of a form is in front of the title."""
    for title in page.locator("#content > h1, #content > h2").all():
        above = title.bounding_box()
        below = page.locator(".object-tools").bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"]


def pages_of(guest: Guest) -> list[str]:
    """Return the addresses of the pages that staff use most, and those that ask."""
    return [
        admin_url("index"),
        admin_url("guests_guest_changelist"),
        admin_url("guests_guest_change", guest.pk),
        f"{admin_url('guests_guest_add')}?event={guest.event_id}",
        admin_url("guests_guest_do", guest.pk, "move"),
        admin_url("guests_guest_do", guest.pk, "correct-email"),
        f"{admin_url('guests_listmessage_add')}?event={guest.event_id}",
        admin_url("guests_listmessage_changelist"),
        admin_url("guests_listmessage_change", make_message(guest.event).pk),
        admin_url("guests_listmessage_change", sent_message(guest.event, make_staff()).pk),
        admin_url("guests_event_change", guest.event_id),
        admin_url("guests_event_links", guest.event_id),
        admin_url("guests_event_cancel", guest.event_id),
        admin_url("guests_event_delete", guest.event_id),
    ]


@pytest.mark.slow
def test_the_forms_of_an_event_and_of_a_guest_are_accessible(
    page: Page, phone: BrowserContext, stack: Stack, guest: Guest
) -> None:
    sign_in_to_admin(phone, stack, make_staff())
    for path in (
        admin_url("guests_event_change", guest.event_id),
        admin_url("guests_guest_change", guest.pk),
    ):
        open_and_check(page, path)
        page.set_viewport_size({"width": 1280, "height": 800})
        assert_title_is_clear(page)


@pytest.mark.slow
@pytest.mark.parametrize("screen", SCREENS)
def test_the_pages_of_guests_and_events_are_accessible(
    browser: Browser, stack: Stack, guest: Guest, screen: str
) -> None:
    with browser.new_context(**SCREENS[screen], base_url=stack.url) as context:
        page = context.new_page()
        page.goto("/admin/login/")
        assert_accessible(page)
        sign_in_to_admin(context, stack, make_staff())
        errors = watch_admin(page)
        for number, path in enumerate(pages_of(guest)):
            page.goto(path)
            shoot(page, f"admin-{screen}-{number}")
            assert errors == [], path
            open_and_check(page, path)
            errors.clear()  # axe sets styles of its own, which the policy forbids.


@pytest.mark.parametrize("screen", [PHONE_SCREEN, NARROW, DESKTOP], ids=["390", "320", "1280"])
def test_the_list_shows_what_matters_without_scrolling(
    browser: Browser, stack: Stack, guest: Guest, screen: dict[str, object]
) -> None:
    with browser.new_context(**screen, base_url=stack.url) as context:  # type: ignore[arg-type]
        sign_in_to_admin(context, stack, make_staff())
        page = context.new_page()
        page.goto(admin_url("guests_guest_changelist"))
        assert width_beyond(page) <= 0
        table = page.locator("#changelist-form .results").bounding_box()
        assert table is not None
        for column in ("name", "phone_end", "state", "event", "brought_by", "note", "arrived"):
            cell = page.locator(f"#result_list .field-{column}").first
            expect(cell).to_be_visible()
            box = cell.bounding_box()
            assert box is not None
            assert box["x"] >= table["x"] - 1, column
            assert box["x"] + box["width"] <= table["x"] + table["width"] + 1, column


@pytest.mark.parametrize("screen", SCREENS)
def test_other_lists_are_not_wider_than_the_screen(
    browser: Browser, stack: Stack, guest: Guest, screen: str
) -> None:
    email = "maria.antonieta.vasconcelos@um-nome-comprido.example"
    User.objects.filter(pk=guest.account_id).update(email=email)
    Email.objects.update(to=email, state=Email.State.BOUNCED, error="x rejected")
    GuestRequest.objects.update(error="ValueError")
    with browser.new_context(**SCREENS[screen], base_url=stack.url) as context:
        sign_in_to_admin(context, stack, make_staff())
        page = context.new_page()
        for name in ("guests_event", "guests_guestrequest", "accounts_user", "notifications_email"):
            page.goto(admin_url(f"{name}_changelist"))
            table = page.locator("#changelist-form .results")
            hidden = table.evaluate("table => table.scrollWidth - table.clientWidth")
            assert hidden <= 0, name


@pytest.mark.slow
@pytest.mark.parametrize("screen", [PHONE_SCREEN, NARROW, DESKTOP], ids=["390", "320", "1280"])
def test_the_pages_of_switches_and_modes_are_not_wider_than_the_screen(
    browser: Browser, stack: Stack, screen: dict[str, object]
) -> None:
    staff = make_staff()
    set_mode(EMERGENCY, is_on=True, minutes=15, reason="a noite está cheia " * 5, by=staff)
    row, _ = Switch.objects.get_or_create(name=BATCHING)
    with browser.new_context(**screen, base_url=stack.url) as context:  # type: ignore[arg-type]
        sign_in_to_admin(context, stack, staff)
        page = context.new_page()
        page.goto(admin_url("snap_switch_change", row.pk))
        page.locator("[name=active]").set_checked(not row.active)
        page.fill("[name=note]", "porque-o-armazenamento-está-cheio-" * 4)
        page.click("[name=_save]")
        for path in (
            admin_url("snap_switch_history", row.pk),
            admin_url("snap_switch_change", row.pk),
            admin_url("snap_mode_change", EMERGENCY),
        ):
            page.goto(path)
            assert width_beyond(page) <= 0, path
        for name in ("snap_switch", "snap_mode", "snap_modechange"):
            page.goto(admin_url(f"{name}_changelist"))
            table = page.locator("#changelist-form .results")
            hidden = table.evaluate("table => table.scrollWidth - table.clientWidth")
            assert hidden <= 0, name


@pytest.mark.slow
def test_staff_add_a_guest_without_javascript(browser: Browser, stack: Stack, guest: Guest) -> None:
    with browser.new_context(
        **PHONE_SCREEN, base_url=stack.url, java_script_enabled=False
    ) as context:
        sign_in_to_admin(context, stack, make_staff())
        page = context.new_page()
        page.goto(f"{admin_url('guests_guest_add')}?event={guest.event_id}")
        page.fill("[name=name]", "Rui Sem Telefone")
        page.fill("[name=note]", "amigo da casa")
        page.click(".staff-form [type=submit]")
        expect(page.locator(".copied-text")).to_contain_text("/guest/")
        page.goto(admin_url("guests_event_links", guest.event_id))
        expect(page.locator("[data-copy]").first).to_be_hidden()
        expect(page.locator(".shared-links .copied-text").first).to_be_visible()


def test_a_link_is_copied(browser: Browser, stack: Stack, guest: Guest) -> None:
    with browser.new_context(**DESKTOP, base_url=stack.url) as context:  # type: ignore[arg-type]
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        sign_in_to_admin(context, stack, make_staff())
        page = context.new_page()
        page.goto(admin_url("guests_event_links", guest.event_id))
        button = page.locator("[data-copy]").last
        button.click()
        expect(button).to_have_text("Copiado")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == button.get_attribute("data-copy")


def every_page(request: HttpRequest) -> Iterator[str]:
    for model, model_admin in django_admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        yield admin_url(f"{name}_changelist")
        if model_admin.has_add_permission(request):
            yield admin_url(f"{name}_add")
        for row in model._default_manager.order_by("-pk")[:1]:
            yield admin_url(f"{name}_change", row.pk)
            yield admin_url(f"{name}_history", row.pk)
            if model_admin.has_delete_permission(request, row):
                yield admin_url(f"{name}_delete", row.pk)


@pytest.mark.slow
@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_of_admin_is_accessible(
    browser: Browser, stack: Stack, guest: Guest, screen: str
) -> None:
    make_request(Event.objects.get())
    BlockedPhone.objects.create(phone="+35193", is_prefix=True, reason="abuso")
    Claim.objects.create(
        account=guest.account, first_name="Ana", last_name="X", email="a@example.com"
    )
    staff = make_staff()
    request = RequestFactory().get("/")
    request.user = User.objects.get(pk=staff.pk)
    with browser.new_context(**SCREENS[screen], base_url=stack.url) as context:
        sign_in_to_admin(context, stack, staff)
        page = context.new_page()
        for path in every_page(request):
            open_and_check(page, path)
