"""Open pages hear of a change in about a second, on the real processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from guests.requests.pushes import push_event_changed
from guests.requests.waiting_list import cancel_guests
from notifications.bounces import BounceReason
from notifications.models import Email
from notifications.reports import Report, ReportKind, record_reports
from tests.factories import make_account, make_event, make_guest
from tests.helpers.browser import assert_accessible, expect_qr, sign_in, watched
from tests.helpers.places import pass_of_only_guest
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

# Milliseconds. A page without a push hears after 24 seconds at the earliest.
SOON = 15_000


@pytest.fixture
def timed(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Print how long a page took to hear of a change."""

    def record(what: str, began: float) -> None:
        seconds = monotonic() - began
        record_property(what, seconds)
        print(f"\n{what}: {seconds:.2f} s")

    return record


@contextmanager
def _opening_a_socket(page: Page) -> Iterator[None]:
    """Wait until a socket of the page has been opened in the block, or after it."""
    opened: list[object] = []
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.webSocketHandshakeResponseReceived", lambda event: opened.append(event))
    yield
    deadline = monotonic() + 30
    while not opened:
        assert monotonic() < deadline, "the page has opened no socket"
        page.wait_for_timeout(50)
    network.detach()


def test_a_promoted_guest_sees_the_code(
    stack: Stack, page: Page, manager: User, timed: Callable[[str, float], None]
) -> None:
    event = make_event(capacity=1)
    first, waiting = make_guest(event), make_guest(event)
    errors = watched(page)
    sign_in(page.context, stack, waiting.account)
    with _opening_a_socket(page):
        page.goto(f"/promo/{event.slug}/")
    expect(page.locator("#ticket[data-state=waitlisted-1]")).to_be_visible()
    began = monotonic()
    cancel_guests(event.pk, [first.pk], acting_user=manager)
    expect_qr(page, SOON)
    timed("waiting to QR", began)
    assert errors == []


def test_a_cancelled_guest_loses_the_code_on_the_page_and_the_pass(
    stack: Stack, page: Page, manager: User, timed: Callable[[str, float], None]
) -> None:
    guest = make_guest()
    sign_in(page.context, stack, guest.account)
    open_pass = page.context.new_page()
    errors = watched(page) + watched(open_pass)
    page.goto(f"/promo/{guest.event.slug}/")
    expect_qr(page)
    with _opening_a_socket(open_pass):
        open_pass.goto(pass_of_only_guest(stack))
    expect(open_pass.locator(".pass-code img")).to_be_visible()
    began = monotonic()
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    expect(open_pass.locator(".pass-code img")).to_have_count(0, timeout=SOON)
    timed("pass to cancelled", began)
    expect(page.locator("#ticket[data-state=cancelled]")).to_be_visible(timeout=SOON)
    # The button is back: the page itself has loaded again, not only the ticket.
    page.get_by_role("button", name="Quero entrar na lista").click()
    expect_qr(page)
    expect(page.locator("dialog #ticket")).to_be_visible()
    assert errors == []


def test_an_email_that_comes_back_shows_on_the_page_and_the_pass(
    stack: Stack, page: Page, timed: Callable[[str, float], None]
) -> None:
    guest = make_guest(account=make_account(email="ines@gmial.com"))
    sign_in(page.context, stack, guest.account)
    open_pass = page.context.new_page()
    errors = watched(page) + watched(open_pass)
    with _opening_a_socket(page):
        page.goto(f"/promo/{guest.event.slug}/")
    with _opening_a_socket(open_pass):
        open_pass.goto(pass_of_only_guest(stack))
    email = Email.objects.filter(kind="qr_code")
    email.update(state="sent", provider="resend", provider_id="id-1")
    began = monotonic()
    bounced = Report(ReportKind.BOUNCED, provider_id="id-1", reason=BounceReason.INVALID)
    assert record_reports("resend", [bounced]) == 1
    for each in (page, open_pass):
        each.bring_to_front()
        line = each.locator("[data-delivery=no_such_address]")
        expect(line).to_contain_text("não existe. Querias dizer gmail.com?", timeout=SOON)
        expect(line.get_by_role("link")).to_have_text("Corrigir o email")
        assert_accessible(each)
    timed("bounce to page and pass", began)
    assert errors == []


def test_a_change_of_the_event_reaches_open_pages(stack: Stack, page: Page) -> None:
    guest = make_guest(make_event(venue="Sala Antiga"))
    sign_in(page.context, stack, guest.account)
    open_pass = page.context.new_page()
    with _opening_a_socket(page):
        page.goto(f"/promo/{guest.event.slug}/")
    expect(page.locator("#ticket")).to_contain_text("Sala Antiga")
    with _opening_a_socket(open_pass):
        open_pass.goto(pass_of_only_guest(stack))
    guest.event.venue = "Sala Nova"
    guest.event.save()
    push_event_changed(guest.event_id)
    for each in (page, open_pass):
        each.bring_to_front()
        expect(each.locator("#ticket")).to_contain_text("Sala Nova", timeout=SOON)


def test_an_end_of_all_sessions_reaches_open_pages(stack: Stack, page: Page) -> None:
    guest = make_guest()
    sign_in(page.context, stack, guest.account)
    with _opening_a_socket(page):
        page.goto(f"/promo/{guest.event.slug}/")
    expect_qr(page)
    guest.account.sign_out_everywhere()
    expect(page.locator("#ticket")).to_have_count(0, timeout=SOON)


@pytest.mark.slow
def test_a_dropped_socket_opens_again(stack: Stack, page: Page, manager: User) -> None:
    event = make_event(capacity=1)
    first, waiting = make_guest(event), make_guest(event)
    sign_in(page.context, stack, waiting.account)
    with _opening_a_socket(page):
        page.goto(f"/promo/{event.slug}/")
    with _opening_a_socket(page):
        stack.restart("ws")
    cancel_guests(event.pk, [first.pk], acting_user=manager)
    expect_qr(page, SOON)
