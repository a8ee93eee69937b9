"""The link in the email with a code: one button signs in, only where the code was asked for."""

from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db.models.functions import Now
from django.test import Client

from accounts.email_links import signature_for_code
from accounts.login_codes import send_login_code
from accounts.models import BlockedPhone, LoginCode, User
from guests.models import Event, GuestRequest
from notifications.models import Email
from snap.pages import page_path
from tests.factories import make_account, make_event, make_event_promoter
from tests.helpers.codes import sign_out
from tests.helpers.emails import link_in, send_all
from tests.helpers.visitors import (
    Response,
    Visitor,
    html_of,
    last_code,
    location_of,
    with_and_without_htmx,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def visitor() -> Visitor:
    """A visitor at the code form of an event, with a code in the mailbox of the account."""
    visitor = Visitor(make_event())
    visitor.give_phone(make_account().phone or "")
    return visitor


def account_of(visitor: Visitor) -> User:
    return User.objects.exclude(login_codes=None).get()


def link_of(code: LoginCode) -> str:
    return f"{page_path('sign_in_link', code.pk)}?proof={signature_for_code(code)}"


def link_for(visitor: Visitor) -> str:
    """Return the path of the link in the email that the visitor has got."""
    send_all()
    return link_in("login_code", account_of(visitor).email)


def is_signed_in(browser: Client) -> bool:
    return "_auth_user_id" in browser.session


def state_of(response: Response) -> str:
    return html_of(response).partition('data-link="')[2].partition('"')[0]


def unchanged() -> tuple[Any, ...]:
    codes = list(LoginCode.objects.order_by("pk").values("tries", "used_at", "expires_at"))
    return codes, GuestRequest.objects.count(), User.objects.exclude(verified_at=None).count()


@with_and_without_htmx
def test_the_button_signs_in_and_requests_the_place(htmx: bool) -> None:
    at = make_event_promoter()
    account = make_account()
    visitor = Visitor(at.event, at.promoter.code, htmx=htmx)
    visitor.give_phone(account.phone or "")
    link = link_for(visitor)
    page = Client(headers={"accept-language": "en"})
    page.cookies = visitor.browser.cookies
    shown = page.get(link)
    assert (shown.status_code, state_of(shown)) == (200, "ready")
    assert f"Go on to {at.event.title}" in html_of(shown)
    assert (account.phone or "") not in html_of(shown)
    pressed = page.post(link)
    assert "/ticket/" in location_of(pressed)
    stored = GuestRequest.objects.get()
    assert (stored.account, stored.promoter) == (account, at.promoter)
    account.refresh_from_db()
    assert (account.verified_at is not None, account.proven_by) == (True, "email")
    # The ticket is the signed-in account's own.
    assert page.get(pressed["Location"]).status_code == 200


def test_the_code_form_in_another_tab_leads_to_the_place_after_the_link(visitor: Visitor) -> None:
    """The form's own token is too old by then, and its page is where a person goes back to."""
    assert 'name="code"' in html_of(visitor.open("code"))
    visitor.browser.post(link_for(visitor))
    assert location_of(visitor.open("code")) == f"/promo/{visitor.event.slug}/"
    assert GuestRequest.objects.count() == 1


def test_opening_the_link_changes_nothing(visitor: Visitor) -> None:
    """Mail servers open links before a person does, in all ways."""
    link, before = link_for(visitor), unchanged()
    for browser in (visitor.browser, Client()):
        for method in ("get", "head", "options", "put"):
            getattr(browser, method)(link)
        assert not is_signed_in(browser)
    assert unchanged() == before
    assert "/ticket/" in location_of(visitor.browser.post(link))


def test_another_browser_learns_nothing_and_changes_nothing(visitor: Visitor) -> None:
    account, link, before = account_of(visitor), link_for(visitor), unchanged()
    code = last_code(account)
    signed_in = Visitor(visitor.event).signed_in(make_account())
    for browser in (Client(headers={"accept-language": "en"}), signed_in.browser):
        for response, status in ((browser.get(link), 200), (browser.post(link), 403)):
            page = html_of(response)
            assert (response.status_code, state_of(response)) == (status, "elsewhere")
            assert "Go back to where you were signing in" in page
            for secret in (code.digits(), account.first_name, account.email, str(account.phone)):
                assert secret not in page
            assert '<form method="post">' not in page.partition("<main")[2].partition("</main")[0]
    assert not GuestRequest.objects.exists()
    assert unchanged() == before


def test_a_link_that_we_did_not_send_is_no_page(visitor: Visitor) -> None:
    link, before = link_for(visitor), unchanged()
    own = last_code(account_of(visitor))
    other = send_login_code(
        make_account(), browser="f" * 32, address="198.51.100.7", page="/promo/"
    )
    forged = [
        link[:-1] + ("A" if link[-1] != "A" else "B"),
        link.partition("?")[0],
        link.partition("?")[0] + "?proof=",
        f"{page_path('sign_in_link', other.pk)}?proof={signature_for_code(own)}",
        f"{page_path('sign_in_link', 999_999)}?proof={signature_for_code(own)}",
        page_path("sign_in_link", 10**30) + f"?proof={signature_for_code(own)}",
    ]
    for address in forged:
        assert visitor.browser.get(address).status_code == 404, address
        assert visitor.browser.post(address).status_code == 404, address
    assert not is_signed_in(visitor.browser)
    assert unchanged()[1:] == before[1:]


def test_a_second_press_leads_to_the_same_ticket(visitor: Visitor) -> None:
    link = link_for(visitor)
    first = location_of(visitor.browser.post(link))
    assert location_of(visitor.browser.post(link)) == first
    assert GuestRequest.objects.count() == 1
    shown = visitor.browser.get(link)
    assert state_of(shown) == "signed_in"
    assert visitor.event_url in html_of(shown)


def test_a_used_link_signs_nobody_in_again(visitor: Visitor) -> None:
    link = link_for(visitor)
    visitor.browser.post(link)
    sign_out(visitor)
    assert_ended(visitor, link)


def assert_ended(visitor: Visitor, link: str) -> None:
    """Assert that the page says that the link no longer counts, and leads to another code."""
    for browser in (visitor.browser, Client()):
        shown, pressed = browser.get(link), browser.post(link)
        assert (shown.status_code, pressed.status_code) == (200, 400)
        for response in (shown, pressed):
            assert state_of(response) == "ended"
            assert visitor.step_url("phone") in html_of(response)
        assert not is_signed_in(browser)


def test_a_link_counts_as_long_as_its_code(visitor: Visitor) -> None:
    link = link_for(visitor)
    changes: list[dict[str, Any]] = [{"expires_at": Now()}, {"tries": 5}, {"used_at": Now()}]
    for change in changes:
        row = LoginCode.objects.values(*change).get()
        LoginCode.objects.update(**change)
        assert_ended(visitor, link)
        LoginCode.objects.update(**row)
    assert "/ticket/" in location_of(visitor.browser.post(link))


def test_only_the_links_of_the_last_two_codes_count(visitor: Visitor) -> None:
    links = [link_for(visitor)]
    for _ in range(2):
        visitor.send("code", resend="1")
        links.append(link_for(visitor))
    assert_ended(visitor, links[0])
    assert "/ticket/" in location_of(visitor.browser.post(links[1]))


def test_a_blocked_phone_is_refused(visitor: Visitor) -> None:
    link = link_for(visitor)
    BlockedPhone.objects.create(phone=account_of(visitor).phone or "", reason="tests")
    pressed = visitor.browser.post(link)
    assert pressed.status_code == 403
    assert not is_signed_in(visitor.browser)


def test_the_link_replaces_the_account_that_was_signed_in(visitor: Visitor) -> None:
    """Two people share a browser. The session of the one ends, as when the code is typed."""
    link, account = link_for(visitor), account_of(visitor)
    visitor.signed_in(make_account())
    session = visitor.browser.session
    session["browser"] = last_code(account).browser
    session.save()
    visitor.browser.cookies["session"] = session.session_key or ""
    assert "/ticket/" in location_of(visitor.browser.post(link))
    assert GuestRequest.objects.get().account == account


def test_the_form_needs_the_csrf_token(visitor: Visitor) -> None:
    link = link_for(visitor)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = visitor.browser.cookies
    assert strict.post(link).status_code == 403
    assert not is_signed_in(strict)


def test_a_link_of_the_api_leads_to_all_events() -> None:
    account = make_account()
    browser = Client()
    body = {"phone": account.phone}
    browser.post("/api/client-auth/login", body, content_type="application/json")
    send_all()
    assert location_of(browser.post(link_in("login_code", account.email))) == "/promo/"
    assert is_signed_in(browser)


def test_a_link_to_an_event_that_is_hidden_now_signs_in(visitor: Visitor) -> None:
    link = link_for(visitor)
    Event.objects.update(is_published=False)
    assert visitor.browser.get(link).status_code == 200
    assert location_of(visitor.browser.post(link)) == "/promo/"
    assert is_signed_in(visitor.browser)


def test_a_code_for_a_change_of_the_email_has_no_link() -> None:
    """Signing in would use the code up, and the email would not be changed."""
    account = make_account(verified_at=Now(), proven_by="email")
    visitor = Visitor(make_event()).signed_in(account)
    visitor.open("email")
    visitor.send("email", send="1")
    assert LoginCode.objects.get().page == ""
    send_all()
    (message,) = [m for m in mail.outbox if m.to == [account.email]]
    assert isinstance(message, EmailMultiAlternatives)
    for text in (str(message.body), str(message.alternatives[0][0])):
        assert last_code(account).digits() in text
        assert "/from-email/" not in text


def test_a_code_of_the_previous_release_has_no_link(visitor: Visitor) -> None:
    LoginCode.objects.update(page="")
    send_all()
    assert "/from-email/" not in str(mail.outbox[-1].body)
    assert Email.objects.get(kind="login_code").state == Email.State.SENT
