"""Every form of a step is about one phone and event: in two tabs, and when it is forged."""

import re
from collections.abc import Callable
from time import time

import pytest
from django.core.signing import Signer, TimestampSigner, b62_encode
from django.test import Client

from accounts.models import LoginCode, User
from guests.emergency.journal import get_journal
from guests.models import Event, Guest, GuestRequest
from tests.factories import make_account, make_event
from tests.helpers.outages import open_breaker
from tests.helpers.visitors import (
    PERSON,
    Response,
    Visitor,
    address_of_step,
    html_of,
    last_code,
    rows,
    signed_step,
    state_in,
    with_and_without_htmx,
)

pytestmark = pytest.mark.django_db

STEP_AGE = 2 * 60 * 60
MAX_REMEMBERED = 8
FIRST, SECOND = "+351961000001", "+351961000002"

events = pytest.mark.parametrize("two_events", [False, True], ids=["one event", "two events"])


class Tab:
    """One of several tabs of a browser. It knows only the form that it shows."""

    def __init__(self, browser: Client, event: Event, *, htmx: bool) -> None:
        self.browser, self.event = browser, event
        self.headers = {"hx-request": "true"} if htmx else {}
        self.address = ""
        self.form: dict[str, str] = {}

    def url(self, step: str) -> str:
        return f"/promo/{self.event.slug}/-/{step}/"

    def get(self, address: str) -> Response:
        return self._show(self.browser.get(address, headers=self.headers))

    def send(self, step: str, **fields: str) -> Response:
        response = self.browser.post(self.url(step), self.form | fields, headers=self.headers)
        return self._show(response)

    def give_phone(self, phone: str) -> Response:
        return self.send("phone", phone=phone)

    def _show(self, response: Response) -> Response:
        if response.status_code in {302, 303}:
            self.address = response["Location"]
            return self._show(self.browser.get(self.address, headers=self.headers))
        for header in ("HX-Push-Url", "HX-Replace-Url"):
            self.address = response.get(header, self.address)
        self.form = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)"', text(response))
        )
        return response


def text(response: Response) -> str:
    return html_of(response)


def two_tabs(*, htmx: bool, two_events: bool) -> tuple[Tab, Tab]:
    browser, event = Client(headers={"accept-language": "en"}), make_event()
    other = make_event() if two_events else event
    return Tab(browser, event, htmx=htmx), Tab(browser, other, htmx=htmx)


# Two tabs -----------------------------------------------------------------------------------------


@with_and_without_htmx
@events
def test_a_name_gets_the_phone_that_its_own_tab_gave(*, htmx: bool, two_events: bool) -> None:
    first, second = two_tabs(htmx=htmx, two_events=two_events)
    first.give_phone(FIRST)
    second.give_phone(SECOND)
    first.send("register", **PERSON)
    account = User.objects.get()
    assert (account.phone, account.first_name) == (FIRST, PERSON["first_name"])
    assert GuestRequest.objects.get().event == first.event


@with_and_without_htmx
@events
def test_a_code_proves_the_phone_of_its_own_tab(*, htmx: bool, two_events: bool) -> None:
    one, other = make_account(phone=FIRST), make_account(phone=SECOND)
    first, second = two_tabs(htmx=htmx, two_events=two_events)
    first.give_phone(FIRST)
    second.give_phone(SECOND)
    first.send("code", code=last_code(one).digits())
    request = GuestRequest.objects.get()
    assert (request.account, request.event) == (one, first.event)
    other.refresh_from_db()
    assert other.verified_at is None


@with_and_without_htmx
def test_another_code_goes_to_the_phone_of_its_own_tab(*, htmx: bool) -> None:
    one, other = make_account(phone=FIRST), make_account(phone=SECOND)
    first, second = two_tabs(htmx=htmx, two_events=False)
    first.give_phone(FIRST)
    second.give_phone(SECOND)
    first.send("code", resend="1")
    assert LoginCode.objects.filter(account=one).count() == 2
    assert LoginCode.objects.filter(account=other).count() == 1


@with_and_without_htmx
def test_a_claim_is_about_the_phone_of_its_own_tab(*, htmx: bool) -> None:
    one, other = make_account(phone=FIRST), make_account(phone=SECOND)
    first, second = two_tabs(htmx=htmx, two_events=False)
    first.give_phone(FIRST)
    first.get(link_in(first.get(first.address), "claim"))
    second.give_phone(SECOND)
    first.send("claim", **PERSON)
    assert one.claims.exists()
    assert not other.claims.exists()


def link_in(response: Response, step: str) -> str:
    found = re.search(rf'href="([^"]*/{step}/[^"]*)"', text(response))
    assert found
    return found[1]


@with_and_without_htmx
def test_a_proof_goes_to_the_account_that_its_own_tab_was_about(*, htmx: bool) -> None:
    event = make_event(requires_proof=True)
    one, other = make_account(phone=FIRST), make_account(phone=SECOND)
    visitor = Visitor(event, htmx=htmx).signed_in(one)
    form = signed_step(visitor.open("prove"))
    visitor.signed_in(other)
    visitor.browser.post(visitor.step_url("prove"), form)
    assert not LoginCode.objects.exists()


@with_and_without_htmx
def test_a_reloaded_step_is_about_the_same_phone(*, htmx: bool) -> None:
    first, second = two_tabs(htmx=htmx, two_events=False)
    first.give_phone(FIRST)
    second.give_phone(SECOND)
    assert "+351 961 000 001" in text(first.get(first.address))
    assert "+351 961 000 002" in text(second.get(second.address))
    first.get(first.address)
    first.send("register", **PERSON | {"email": "not an address"})
    assert "+351 961 000 001" in text(first.get(first.address))
    first.send("register", **PERSON)
    assert User.objects.get().phone == FIRST


@with_and_without_htmx
def test_tabs_keep_their_own_phones_in_an_outage(*, htmx: bool) -> None:
    first, second = two_tabs(htmx=htmx, two_events=False)
    first.get(f"/promo/{first.event.slug}/")
    with open_breaker():
        first.give_phone(FIRST)
        second.give_phone(SECOND)
        first.send("register", **PERSON)
    (stored,) = get_journal().in_state("waiting")
    assert stored.entry.phone == FIRST


# Forged forms -------------------------------------------------------------------------------------


def another_browser(visitor: Visitor) -> tuple[Visitor, dict[str, str]]:
    thief = Visitor(visitor.event, htmx=True)
    thief.give_phone(SECOND)
    return thief, visitor.hidden_fields("register")


def another_event(visitor: Visitor) -> tuple[Visitor, dict[str, str]]:
    form = visitor.hidden_fields("register")
    visitor.event = make_event()
    return visitor, form


def another_phone(visitor: Visitor) -> tuple[Visitor, dict[str, str]]:
    signed = visitor.hidden_fields("register")["step"]
    return visitor, {"step": signed.replace(FIRST, SECOND)}


def another_secret(visitor: Visitor) -> tuple[Visitor, dict[str, str]]:
    salt = f"promo.steps {visitor.event.slug} {visitor.browser.session['browser']}"
    return visitor, {"step": TimestampSigner(key="guessed", salt=salt).sign(FIRST)}


def no_field(visitor: Visitor) -> tuple[Visitor, dict[str, str]]:
    return visitor, {}


def garbage(visitor: Visitor) -> tuple[Visitor, dict[str, str]]:
    return visitor, {"step": "+351961000001:" * 1000 + "\x00🎉"}


def no_session(visitor: Visitor) -> tuple[Visitor, dict[str, str]]:
    form = visitor.hidden_fields("register")
    visitor.browser.cookies.clear()
    return visitor, form


@pytest.mark.parametrize(
    "forge",
    [
        another_browser,
        another_event,
        another_phone,
        another_secret,
        no_field,
        garbage,
        no_session,
    ],
)
@pytest.mark.parametrize("step", ["register", "code", "claim"])
def test_a_forged_form_leads_back_to_the_phone(
    forge: Callable[[Visitor], tuple[Visitor, dict[str, str]]], step: str
) -> None:
    visitor = Visitor(make_event(), htmx=True)
    visitor.give_phone(FIRST)
    sender, form = forge(visitor)
    before = rows()
    fields = form | PERSON | {"code": "123456", "resend": "1"}
    response = sender.browser.post(sender.step_url(step), fields)
    assert 'name="phone"' in html_of(response)
    assert "no longer good" in html_of(response)
    assert rows() == before


@pytest.mark.parametrize(("age", "counts"), [(STEP_AGE - 60, True), (STEP_AGE + 60, False)])
def test_a_form_counts_for_two_hours(age: int, *, counts: bool) -> None:
    visitor = Visitor(make_event(), htmx=True)
    visitor.give_phone(FIRST)
    salt = f"promo.steps {visitor.event.slug} {visitor.browser.session['browser']}"
    signer = Signer(salt=salt)
    signed = signer.sign(f"{FIRST}:{b62_encode(int(time()) - age)}")
    visitor.browser.post(visitor.step_url("register"), PERSON | {"step": signed})
    assert User.objects.exists() == counts


# Addresses ----------------------------------------------------------------------------------------


@with_and_without_htmx
def test_the_address_of_a_step_does_not_contain_the_phone(*, htmx: bool) -> None:
    tab, _ = two_tabs(htmx=htmx, two_events=False)
    tab.give_phone(FIRST)
    assert address_of_step(tab.address) == tab.url("register")
    assert tab.address != tab.url("register")
    assert "961000001" not in tab.address


def test_the_address_of_a_step_counts_only_in_its_browser_and_event() -> None:
    tab, elsewhere = two_tabs(htmx=False, two_events=True)
    tab.give_phone(FIRST)
    thief = Tab(Client(headers={"accept-language": "en"}), tab.event, htmx=False)
    thief.give_phone(SECOND)
    query = tab.address.partition("?")[2]
    for shown in (thief.get(tab.address), elsewhere.get(f"{elsewhere.url('register')}?{query}")):
        assert "961 000 001" not in text(shown)
        assert "no longer good" in text(shown)


@pytest.mark.parametrize("key", ["", "nobody's", "%00", "__class__", "🎉", "a" * 5000])
def test_an_address_with_a_wrong_key_leads_to_the_phone(key: str) -> None:
    tab, _ = two_tabs(htmx=False, two_events=False)
    tab.give_phone(FIRST)
    shown = tab.browser.get(tab.url("register"), {"s": key}, follow=True)
    assert shown.status_code in {200, 400}
    assert "961 000 001" not in text(shown)


def test_a_browser_remembers_few_phones() -> None:
    tab, _ = two_tabs(htmx=False, two_events=False)
    for number in range(3 * MAX_REMEMBERED):
        tab.browser.post(tab.url("phone"), {"phone": f"+3519610010{number:02}"})
    assert len(tab.browser.session["steps"]) == MAX_REMEMBERED
    assert len(tab.browser.cookies["session"].value) < 2000


def test_the_language_switch_returns_to_the_same_step() -> None:
    tab, _ = two_tabs(htmx=False, two_events=False)
    tab.give_phone(FIRST)
    assert f'name="next" value="{tab.address}"' in text(tab.get(tab.address))
    tab.send("register", **PERSON)
    assert state_in(tab.get(tab.address)) == "created"
    assert Guest.objects.get().phone == FIRST
