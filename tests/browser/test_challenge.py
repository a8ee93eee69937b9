"""The challenge in a real browser: under the CSP, with JavaScript and without."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from accounts.login_codes import send_login_code
from accounts.models import LoginCode, User
from tests.factories import make_account, make_event
from tests.helpers.browser import shoot
from tests.helpers.stack import Stack
from tests.helpers.visitors import last_code

pytestmark = [pytest.mark.browser, pytest.mark.processes]


@pytest.fixture(scope="module")
def web(_stack: Stack) -> Iterator[str]:
    """The address of a web process with a limit of five requests a minute for an address."""
    given = {"LIMIT_IP": "5", "CHALLENGE_WAIT": "2", "CHALLENGE_COST": "1000"}
    with _stack.another_web(**given) as url:
        yield url


def test_a_browser_past_the_limit_solves_a_challenge_and_continues(
    web: str, phone: BrowserContext
) -> None:
    event = make_event()
    page, complaints = phone.new_page(), []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for _ in range(6):
        page.goto(f"{web}/promo/{event.slug}/")
    expect(page.get_by_role("heading", name=event.title)).to_be_visible(timeout=30_000)
    assert page.url.endswith(f"/promo/{event.slug}/")
    assert [each for each in complaints if "429" not in each] == []


@pytest.mark.slow
def test_a_browser_whose_widget_cannot_run_waits_and_continues(
    web: str, phone: BrowserContext
) -> None:
    event = make_event()
    page = phone.new_page()
    page.route("**/altcha*.js", lambda route: route.abort())
    for _ in range(6):
        page.goto(f"{web}/promo/{event.slug}/")
    page.locator("[data-slow] button").click()
    expect(page.locator("[data-clock]")).to_contain_text("00:0")
    expect(page.get_by_role("heading", name=event.title)).to_be_visible(timeout=30_000)


def test_the_dialog_solves_a_challenge_and_continues(web: str, phone: BrowserContext) -> None:
    event = make_event()
    page = phone.new_page()
    for _ in range(5):
        page.goto(f"{web}/promo/{event.slug}/")
    page.locator("[data-first-step]").click()
    page.locator("#flow input[name=phone]").fill("912 000 111")
    page.locator("#flow form.step .button").click()
    expect(page.locator("#flow [data-challenge]")).to_be_attached()
    # The page sends the form again, so the next step is shown.
    expect(page.locator("#flow input[name=first_name]")).to_be_visible(timeout=30_000)
    expect(page.locator("#flow")).to_contain_text("912 000 111")
    assert "/-/register/?s=" in page.url


@pytest.mark.slow
def test_without_javascript_a_browser_waits_and_continues(web: str, page_without_js: Page) -> None:
    event = make_event()
    for _ in range(6):
        page_without_js.goto(f"{web}/promo/{event.slug}/")
    page_without_js.locator("[data-slow] button").click()
    expect(page_without_js.get_by_role("heading", name=event.title)).to_be_visible(timeout=30_000)


# A form that met a limit --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict_web(_stack: Stack) -> Iterator[str]:
    """The address of a web process with a limit of one form a minute for a phone."""
    given = {
        "LIMIT_PHONE": "1",
        "LIMIT_IP": "1000",
        "LOGIN_CODES_PER_PHONE": "1",
        "CHALLENGE_WAIT": "2",
        "CHALLENGE_COST": "1000",
    }
    with _stack.another_web(**given) as url:
        yield url


def come_to_the_code(page: Page, web: str, account: User, *, in_dialog: bool) -> str:
    """Go to the code step with the account's phone, and return the code that was sent."""
    event = make_event()
    page.goto(f"{web}/promo/{event.slug}/" + ("" if in_dialog else "-/phone/"))
    if in_dialog:
        page.locator("[data-first-step]").click()
    page.locator("#flow input[name=phone]").fill(account.phone or "")
    page.locator("#flow form.step .button").click()
    expect(page.locator("#flow input[name=code]")).to_be_visible()
    return last_code(account).digits()


@pytest.mark.slow
@pytest.mark.parametrize("in_dialog", [True, False], ids=["dialog", "page"])
def test_the_page_sends_a_code_again_after_the_challenge(
    strict_web: str, phone: BrowserContext, *, in_dialog: bool
) -> None:
    page, account = phone.new_page(), make_account()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    digits = come_to_the_code(page, strict_web, account, in_dialog=in_dialog)
    with _held_challenge(page):
        page.locator("#flow input[name=code]").fill(f"{digits[:3]}-{digits[3:]}")
        page.locator("#flow form.step .button").first.click()
        expect(page.get_by_role("alert")).to_contain_text("Este número foi usado muitas vezes")
        shoot(page, f"code-challenge-{'dialog' if in_dialog else 'page'}")
    expect(page.locator("#ticket[data-state=created]")).to_be_visible(timeout=30_000)
    forms = [each for each in sent if each.startswith("POST") and "/code/" in each]
    assert len(forms) == 2, "the form, and the form sent again"
    assert not any(digits in each or digits[:3] + "-" in each for each in sent)
    assert (account.phone or "")[4:] not in "".join(sent)


@contextmanager
def _held_challenge(page: Page) -> Iterator[None]:
    """Delay the challenge until the end of the block."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/challenge/new?*", hold)
    yield
    for route in held:
        route.continue_()
    page.unroute("**/challenge/new?*", hold)


@pytest.mark.slow
def test_without_javascript_a_code_is_sent_again_after_the_wait(
    strict_web: str, page_without_js: Page
) -> None:
    page, account = page_without_js, make_account()
    digits = come_to_the_code(page, strict_web, account, in_dialog=False)
    page.locator("#flow input[name=code]").fill(digits)
    page.locator("#flow form.step .button").first.click()
    shoot(page, "code-challenge-nojs")
    page.locator("[data-slow] button").click()
    shoot(page, "code-wait-nojs")
    page.wait_for_timeout(2_100)
    page.locator("#message button").click()
    expect(page.locator("#ticket[data-state=created]")).to_be_visible(timeout=30_000)


def test_after_many_codes_for_strangers_the_owner_solves_a_challenge(
    strict_web: str, phone: BrowserContext
) -> None:
    page, account = phone.new_page(), make_account(phone="+351967000001")
    send_login_code(account, browser="a stranger's", address="198.51.100.1")
    event = make_event()
    page.goto(f"{strict_web}/promo/{event.slug}/")
    page.locator("[data-first-step]").click()
    page.locator("#flow input[name=phone]").fill(account.phone or "")
    with _held_challenge(page):
        page.locator("#flow form.step .button").click()
        expect(page.get_by_role("alert")).to_contain_text("Pediram-se muitos códigos")
        shoot(page, "codes-challenge")
    # The refused form counted for the phone as well, so the browser solves two challenges.
    expect(page.locator("#flow input[name=code]")).to_be_visible(timeout=30_000)
    assert LoginCode.objects.filter(account=account).count() == 2
    shoot(page, "code-after-challenge")


@pytest.mark.slow
def test_two_tabs_keep_their_own_phones(stack: Stack, phone: BrowserContext) -> None:
    event = make_event()
    tabs = []
    for number in ("967 000 011", "967 000 012"):
        tab = phone.new_page()
        tab.goto(f"/promo/{event.slug}/")
        tab.locator("[data-first-step]").click()
        tab.locator("#flow input[name=phone]").fill(number)
        tab.locator("#flow form.step .button").click()
        expect(tab.locator("#flow input[name=first_name]")).to_be_visible()
        tabs.append((tab, number))
    for tab, number in tabs:
        tab.reload()
        expect(tab.locator("#flow")).to_contain_text(number)
        shoot(tab, f"tab-{number[-1]}")
    first = tabs[0][0]
    for field, typed in (("first_name", "Inês"), ("last_name", "Exemplo"), ("email", "i@x.pt")):
        first.locator(f"#flow input[name={field}]").fill(typed)
    first.locator("#flow form.step .button").click()
    expect(first.locator("#ticket[data-state=created]")).to_be_visible(timeout=30_000)
    assert User.objects.get().phone == "+351967000011"
