"""The live dashboard in a browser: it shows what happens, and says when its values are old."""

from collections.abc import Iterator

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect

from guests.models import Event, Guest
from tests.factories import make_event, make_guest, make_promoter, make_request, make_staff
from tests.helpers.admin import sign_in_to_admin, watch_admin
from tests.helpers.browser import (
    PHONE_SCREEN,
    assert_accessible,
    shoot,
    wait_until,
    width_beyond,
)
from tests.helpers.outages import start_database, stop_database
from tests.helpers.own_servers import own_postgresql
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

DESKTOP = {"viewport": {"width": 1280, "height": 800}, "locale": "en"}
SCREENS = {
    "phone": PHONE_SCREEN,
    "narrow": {**PHONE_SCREEN, "viewport": {"width": 320, "height": 568}},
    "desktop": DESKTOP,
}
SOON = 10_000
# The number of the event's guests, on both pages.
TAKEN = ".night-taken strong"


@pytest.fixture
def busy(stack: Stack) -> Event:
    """A full event with promoters, a waiting list and requests of the last hour."""
    event = make_event(capacity=4, title=f"Noite de São João {'comprida' * 10}")
    for name in ("Marta Exemplo", "Colectivo Nocturno da Beira-Mar e Amigos, Associação"):
        promoter = make_promoter(name=name)
        for _ in range(3):
            make_guest(event, promoter=promoter)
    Guest.objects.filter(state="on_list").update(checked_in_at=timezone.now())
    return event


@pytest.fixture
def staff_page(phone: BrowserContext, stack: Stack) -> Page:
    sign_in_to_admin(phone, stack, make_staff())
    return phone.new_page()


def path_of(event: Event) -> str:
    return f"/staff/{event.slug}/"


def test_numbers_change_without_a_reload_or_a_jump(
    stack: Stack, staff_page: Page, busy: Event
) -> None:
    errors = watch_admin(staff_page)
    other = make_event()
    for path in ("/staff/", path_of(other)):
        staff_page.goto(path)
        staff_page.evaluate("window.isTheSame = true")
        staff_page.locator("summary").first.click()
        staff_page.evaluate("window.scrollTo(0, 300)")
        before = staff_page.evaluate("scrollY")
        taken = Guest.objects.filter(event=other).count()
        make_guest(other)
        expect(staff_page.locator(TAKEN).last).to_have_text(str(taken + 1), timeout=SOON)
        assert staff_page.evaluate("window.isTheSame")
        assert staff_page.evaluate("scrollY") == before
        assert staff_page.locator("details[open]").count() == 1
    assert errors == []


def test_an_event_that_opens_appears(stack: Stack, staff_page: Page) -> None:
    event = make_event(is_published=False)
    staff_page.goto("/staff/")
    expect(staff_page.locator(".plot-empty").first).to_be_visible()
    Event.objects.update(is_published=True)
    expect(staff_page.locator(".night-event")).to_contain_text(event.title, timeout=SOON)


@pytest.mark.slow
def test_a_page_without_a_socket_polls(stack: Stack, staff_page: Page) -> None:
    event = make_event()
    with stack.without("ws"):
        staff_page.goto(path_of(event))
        make_guest(event)
        expect(staff_page.locator(TAKEN)).to_have_text("1", timeout=2 * SOON)
    make_guest(event)
    expect(staff_page.locator(TAKEN)).to_have_text("2", timeout=2 * SOON)


@pytest.mark.slow
def test_a_silent_socket_is_noticed_and_the_page_says_that_it_is_old(
    stack: Stack, staff_page: Page
) -> None:
    event = make_event()
    staff_page.goto(path_of(event))
    note = staff_page.locator(".night-old")
    wait_until(staff_page, "lastHeard > 0 && isConnected()")
    expect(note).to_have_text("")
    with stack.frozen("ws"), stack.frozen("web"):
        expect(note).not_to_have_text("", timeout=2 * SOON)
        assert_accessible(staff_page)
    make_guest(event)
    expect(staff_page.locator(TAKEN)).to_have_text("1", timeout=2 * SOON)
    expect(note).to_have_text("")


@pytest.mark.slow
def test_a_page_that_is_opened_in_an_outage_comes_back(stack: Stack, staff_page: Page) -> None:
    own_postgresql()  # Skips the test without one.
    event = make_event()
    stop_database()
    try:
        for path in ("/staff/", "/admin/"):
            staff_page.goto(path)
            expect(staff_page.locator("h1")).to_contain_text("tem de esperar")
            assert width_beyond(staff_page) <= 0
            shoot(staff_page, f"dashboard-outage{path.replace('/', '-')}")
            assert_accessible(staff_page)
        staff_page.goto("/staff/")
    finally:
        start_database()
    expect(staff_page.locator(".night-event")).to_contain_text(event.title, timeout=3 * SOON)


def test_the_page_works_without_scripts(stack: Stack, browser: Browser, busy: Event) -> None:
    with browser.new_context(
        **PHONE_SCREEN, base_url=stack.url, java_script_enabled=False
    ) as context:
        sign_in_to_admin(context, stack, make_staff())
        page = context.new_page()
        page.goto(path_of(busy))
        expect(page.locator(TAKEN)).to_have_text("4")
        assert page.locator("svg.plot").count() == 3
        refresh = page.locator("noscript meta, meta[http-equiv=refresh]").first
        assert refresh.get_attribute("content") == "15"


def test_whoever_signs_out_elsewhere_is_led_to_the_sign_in(
    stack: Stack, phone: BrowserContext
) -> None:
    account = make_staff()
    sign_in_to_admin(phone, stack, account)
    page = phone.new_page()
    page.goto("/staff/")
    account.sign_out_everywhere()
    page.wait_for_url("**/admin/login/**", timeout=SOON)


@pytest.fixture(params=SCREENS)
def screen(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def looking(browser: Browser, stack: Stack, screen: str, scheme: str) -> Iterator[Page]:
    """The page of a member of staff, on a screen and in a scheme of colours."""
    options = {**SCREENS[screen], "color_scheme": scheme}
    with browser.new_context(**options, base_url=stack.url) as context:
        sign_in_to_admin(context, stack, make_staff())
        yield context.new_page()


@pytest.mark.slow
def test_everybody_can_read_it(
    stack: Stack, looking: Page, busy: Event, screen: str, scheme: str
) -> None:
    make_request(busy)
    for name, path in (
        ("tonight", "/staff/"),
        ("busy", path_of(busy)),
        ("empty", path_of(make_event())),
        ("admin", "/admin/"),
    ):
        looking.goto(path)
        for summary in looking.locator("summary").all():
            summary.click()
        assert width_beyond(looking) <= 0, path
        shoot(looking, f"dashboard-{name}-{screen}-{scheme}")
        assert_accessible(looking)
