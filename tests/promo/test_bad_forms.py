"""Forms sent early, twice, without a valid token, or in a body that is no form."""

import re
from io import BytesIO

import pytest

from accounts.models import User
from guests.models import GuestRequest
from tests.factories import make_account, make_event
from tests.helpers.odd_texts import EMOJI, LONG, MARKUP
from tests.helpers.visitors import (
    PERSON,
    PHONE,
    TYPED_PHONE,
    Response,
    Visitor,
    error_beside,
    html_of,
    last_code,
    location_of,
    rows,
    state_in,
    with_and_without_htmx,
)

pytestmark = pytest.mark.django_db


# Steps out of order, and repeated -----------------------------------------------------------------


@pytest.mark.parametrize("step", ["code", "register"])
def test_a_step_before_its_turn_leads_to_the_phone(step: str) -> None:
    visitor = Visitor(make_event())
    assert location_of(visitor.open(step)) == visitor.step_url("phone")
    response = visitor.send(step, **PERSON, code="123456", resend="1")
    assert location_of(response) == visitor.step_url("phone")
    assert set(rows().values()) == {0}


@with_and_without_htmx
@pytest.mark.parametrize("step", ["phone", "code", "register"])
def test_an_empty_form_changes_nothing(step: str, htmx: bool) -> None:
    account = make_account()
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone(account.phone or "")
    before = rows()
    response = visitor.send(step)
    assert response.status_code in {200, 422}
    assert rows() == before


def test_a_code_for_an_unknown_phone_is_refused() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert visitor.send("code", code="123456").status_code == 422
    assert visitor.send("code", resend="1").status_code in {200, 422}
    assert set(rows().values()) == {0}


def test_the_register_form_sent_twice_makes_one_of_everything() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    first = location_of(visitor.register())
    assert location_of(visitor.register()) == first
    assert rows() == {"User": 1, "GuestRequest": 1, "Guest": 1, "Email": 2, "LoginCode": 0}


def test_the_request_sent_twice_is_one_ticket() -> None:
    visitor = Visitor(make_event()).signed_in(make_account())
    assert location_of(visitor.send("request")) == location_of(visitor.send("request"))
    assert GuestRequest.objects.count() == 1


@pytest.mark.parametrize("step", ["phone", "code", "register"])
def test_going_back_to_an_old_form_leads_to_the_same_qr_code(step: str) -> None:
    visitor, account = Visitor(make_event()), make_account()
    visitor.give_phone(account.phone or "")
    digits = last_code(account).digits()
    ticket_url = location_of(visitor.send("code", code=digits))
    before = rows()
    fields = {"phone": account.phone or "", "country": "PT", "code": digits} | PERSON
    assert location_of(visitor.send(step, **fields)) == ticket_url
    assert state_in(visitor.get(ticket_url)) == "created"
    assert rows() == before


def test_going_back_and_registering_another_person_changes_nothing() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.register()
    visitor.register(first_name="Outra", email="outra@example.com")
    assert User.objects.get().email == PERSON["email"]


def test_a_reloaded_step_shows_its_form_again() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    for _ in range(2):
        shown = visitor.open("register")
        assert (shown.status_code, 'name="email"' in html_of(shown)) == (200, True)
        assert "errorlist" not in html_of(shown)


# Tokens -------------------------------------------------------------------------------------------


def token_in(response: Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html_of(response))
    assert found
    return found[1]


@with_and_without_htmx
@pytest.mark.parametrize("token", ["", "x" * 64, "expired", "\0", EMOJI, LONG])
@pytest.mark.parametrize("step", ["phone", "code", "register", "request"])
def test_an_invalid_csrf_token_is_refused(step: str, token: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), checks_csrf=True, htmx=htmx)
    visitor.open("phone")
    fields = {"phone": TYPED_PHONE, "country": "PT", "code": "123456"} | PERSON
    response = visitor.send(step, **fields, csrfmiddlewaretoken=token)
    assert response.status_code == 403
    assert "That form got too old" in html_of(response)
    assert 'id="message"' in html_of(response)
    assert set(rows().values()) == {0}


def test_a_csrf_token_from_before_signing_in_no_longer_counts() -> None:
    visitor = Visitor(make_event(), checks_csrf=True)
    old = token_in(visitor.open("phone"))
    visitor.give_phone = lambda *_: visitor.send("phone", phone=PHONE, csrfmiddlewaretoken=old)  # type: ignore[method-assign]
    visitor.give_phone()
    assert "/ticket/" in location_of(visitor.register(csrfmiddlewaretoken=old))
    refused = visitor.send("request", csrfmiddlewaretoken=old)
    assert refused.status_code == 403
    # The page that the refusal links to has a valid form.
    fresh = token_in(visitor.look())
    assert "/ticket/" in location_of(visitor.send("request", csrfmiddlewaretoken=fresh))


def test_the_link_back_from_an_old_form_leads_to_no_other_site() -> None:
    visitor = Visitor(make_event(), checks_csrf=True)
    for referer, back in [
        ("http://testserver/promo/x/", "http://testserver/promo/x/"),
        ("https://evil.example/", "/promo/"),
        (f"http://testserver/{MARKUP}", "/promo/"),
        ("", "/promo/"),
    ]:
        response = visitor.browser.post(visitor.step_url("phone"), headers={"referer": referer})
        assert response.status_code == 403
        if MARKUP not in referer:
            assert f'href="{back}"' in html_of(response)
        assert MARKUP.encode() not in response.content


# Bodies -------------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("step", ["phone", "code", "register", "request"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe\x00", FORM),
        (b"phone=\xff\xfe&first_name=\xff", FORM),
        (b"phone=%ff%fe&first_name=%ff&last_name=%c3&email=%ff&code=%ff", FORM),
        (b"%00=%00", FORM),
        (b"&&&&====", FORM),
        (b"a=1&" * 2000, FORM),
        (b"phone=" + b"9" * 2_000_000, FORM),
        (b"phone=961234567", FORM + "; charset=utf-7"),
        (b"phone=961234567", FORM + "; charset=no-such-thing"),
        (b'{"phone": "961234567"}', "application/json"),
        (b"\x00" * 100, "application/octet-stream"),
        (b"no parts", "multipart/form-data; boundary=x"),
        (b"no boundary", "multipart/form-data"),
        (b"--x\r\nContent-Disposition: form-data; name=phone", "multipart/form-data; boundary=x"),
        (b"", ""),
        (b"phone=1", "🎉"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_body_that_is_no_form_is_refused(step: str, body: bytes, content_type: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.browser.generic("POST", visitor.step_url(step), body, content_type)
    assert response.status_code in {200, 303, 400, 413, 415, 422}
    assert set(rows().values()) == {0}


def test_a_file_in_a_text_field_is_refused() -> None:
    visitor = Visitor(make_event())
    file = BytesIO(b"961234567")
    file.name = "phone.txt"
    response = visitor.browser.post(visitor.step_url("phone"), {"phone": file, "country": "PT"})
    assert response.status_code == 422
    assert error_beside("phone", response)


def test_a_field_sent_twice_counts_once() -> None:
    visitor = Visitor(make_event())
    body = {"country": "PT", "phone": ["abc", TYPED_PHONE]}
    response = visitor.browser.post(visitor.step_url("phone"), body)
    assert location_of(response) == visitor.step_url("register")


def test_a_step_of_one_event_does_not_continue_at_another() -> None:
    one, other = make_event(), make_event()
    visitor = Visitor(one)
    visitor.give_phone()
    visitor.open("register")
    visitor.event = other
    assert location_of(visitor.register()) == visitor.step_url("phone")
    assert set(rows().values()) == {0}
