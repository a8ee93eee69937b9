"""Whatever people, programs and browsers send: a sentence beside the field, or a proper 4xx page.

Never a 500, and never an account, guest, request or email by halves.
"""

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from guests.models import Guest, GuestRequest
from tests.factories import make_account, make_event, make_event_promoter, make_guest
from tests.helpers.visitors import (
    PERSON,
    PHONE,
    TYPED_PHONE,
    Answer,
    Visitor,
    error_beside,
    html_of,
    is_partial,
    last_code,
    location_of,
    rows,
    state_in,
)

pytestmark = pytest.mark.django_db

LONG = "9" * 10_000
NULL = "96\0123456"
EMOJI = "🎉"
MARKS = "\u200f\u202e\u2066"
CONTROLS = "\x07\x1b\x7f"
SURROGATE = "\ud800"
MARKUP = "<script>alert(1)</script>"
QUOTES = "'; DROP TABLE guests_guest; --"

NOT_PHONES = {
    "empty": "",
    "spaces": "   ",
    "long": LONG,
    "null byte": NULL,
    "emoji": EMOJI,
    "only direction marks": MARKS,
    "control characters": CONTROLS,
    "letters": "abc",
    "markup": MARKUP,
    "quotes": QUOTES,
    "too short": "96123",
    "no such number": "000 000 000",
    "only a plus": "+",
    "an unknown country": "+999 123 456 789",
    "half a surrogate": SURROGATE,
    "superscript digits": "⁹⁶¹²³⁴⁵⁶⁷",
}
NOT_NAMES = {
    "empty": "",
    "spaces": "   ",
    "long": "a" * 10_000,
    "null byte": "In\0es",
    "emoji": "Inês 🎉",
    "only direction marks": MARKS,
    "control characters": f"Inês{CONTROLS}",
    "an address": "Win a prize www.evil.com",
    "a short address": "evil.co",
    "an address with path": "bit.ly/x",
    "markup": MARKUP,
    "quotes": QUOTES,
    "line ends": "Inês\r\nBcc: all@example.com",
    "only signs": "...",
    "an email": "ines@example.com",
    "half a surrogate": SURROGATE,
}
NOT_EMAILS = {
    "empty": "",
    "long": "a" * 10_000 + "@example.com",
    "null byte": "ines\0@example.com",
    "emoji": "🎉@example.com",
    "direction marks": f"{MARKS}ines@example.com",
    "no domain": "ines",
    "two": "ines@example.com,eva@example.com",
    "line ends": "ines@example.com\r\nBcc: all@example.com",
    "a name as well": "Inês <ines@example.com>",
    "markup": MARKUP,
    "half a surrogate": f"{SURROGATE}@example.com",
}
NOT_CODES = {
    "empty": "",
    "spaces": "      ",
    "long": LONG,
    "null byte": "12345\0",
    "emoji": EMOJI * 6,
    "direction marks": MARKS * 2,
    "letters": "abcdef",
    "five": "12345",
    "seven": "1234567",
    "superscripts": "¹²³⁴⁵⁶",
    "negative": "-12345",
    "half a surrogate": SURROGATE * 6,
}

browsers = pytest.mark.parametrize("htmx", [False, True], ids=["plain", "htmx"])


def each(wrong: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("typed", wrong.values(), ids=wrong.keys())


def assert_told(response: Answer, field: str, *, htmx: bool) -> None:
    """Check that an answer shows its form again with a sentence beside a field."""
    assert response.status_code == 422
    assert len(error_beside(field, response)) > 5
    assert f'aria-describedby="id_{field}_error"' in html_of(response)
    assert 'aria-invalid="true"' in html_of(response)
    assert is_partial(response) == htmx
    assert MARKUP.encode() not in response.content


def encoded(fields: dict[str, str]) -> bytes:
    """Encode a form by hand, so that what is no valid text can be in it."""
    pairs = (f"{name}=".encode() + quoted(value) for name, value in fields.items())
    return b"&".join(pairs)


def quoted(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw).encode()


def send_raw(visitor: Visitor, step: str, **fields: str) -> Answer:
    return visitor.browser.post(
        visitor.step_url(step),
        encoded(visitor.hidden_fields(step) | fields),
        content_type="application/x-www-form-urlencoded",
    )


# Fields ------------------------------------------------


@browsers
@each(NOT_PHONES)
def test_what_is_no_phone(typed: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), htmx=htmx)
    assert_told(send_raw(visitor, "phone", country="PT", phone=typed), "phone", htmx=htmx)
    assert set(rows().values()) == {0}


@pytest.mark.parametrize("country", ["", "XX", "pt", LONG, "\0", EMOJI, MARKS, SURROGATE])
def test_what_is_no_country(country: str) -> None:
    response = send_raw(Visitor(make_event()), "phone", country=country, phone=TYPED_PHONE)
    assert response.status_code == 422
    assert error_beside("phone", response) or error_beside("country", response)
    assert set(rows().values()) == {0}


def test_a_phone_without_country_is_asked_for_it() -> None:
    response = Visitor(make_event()).give_phone(TYPED_PHONE, country="")
    assert "Choose the country" in error_beside("phone", response)


@pytest.mark.parametrize(
    "typed",
    [
        "961234567",
        "961-234-567",
        "(961) 234.567",
        "+351961234567",
        "00351 961 234 567",
        "٩٦١٢٣٤٥٦٧",
        "+٣٥١ ٩٦١ ٢٣٤ ٥٦٧",
        "۹۶۱۲۳۴۵۶۷",
        "९६१२३४५६७",
        "９６１２３４５６７",
        "\u202a+351 961 234 567\u202c",
        "\u2066961\u00a0234\u00a0567\u2069",
        "  961 234 567  ",
    ],
)
def test_ways_to_write_one_phone(typed: str) -> None:
    visitor = Visitor(make_event())
    assert location_of(visitor.give_phone(typed)) == visitor.step_url("register")
    assert "+351 961 234 567" in html_of(visitor.open("register"))


def test_a_plus_wins_over_the_country() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone("+34 612 34 56 78", country="PT")
    assert "+34 612 34 56 78" in html_of(visitor.open("register"))


@browsers
@pytest.mark.parametrize("field", ["first_name", "last_name"])
@each(NOT_NAMES)
def test_what_is_no_name(field: str, typed: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    assert_told(send_raw(visitor, "register", **PERSON | {field: typed}), field, htmx=htmx)
    assert set(rows().values()) == {0}


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("José-María", "O'Neill"),
        ("Nguyễn", "Thị Minh Khai"),
        ("李雷", "韩"),
        ("محمد", "بن سلمان"),
        ("Zoë", "D’Angelo"),
        ("Ana", "de Sá e Mello Jr."),
        ("प्रिया", "शर्मा"),
        ("สมชาย", "ใจดี"),
        ("Ñ", "Ł"),
        ("Gunther", "v. d. Straß"),
        ("נועם", "כהן־לוי"),
        ("Joan", "Mel·lo"),
    ],
)
def test_names_as_people_have_them(first: str, last: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert "/ticket/" in location_of(visitor.register(first_name=first, last_name=last))
    assert Guest.objects.get().name == f"{first} {last}"


def test_names_are_tidied() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.register(first_name="  Ine\u0302s   Maria ", last_name="\u200fExemplo\u200e")
    account = User.objects.get()
    assert (account.first_name, account.last_name) == ("In\u00eas Maria", "Exemplo")


def test_a_name_that_grows_when_it_is_composed() -> None:
    # U+0958 becomes two characters in composed form, so sixty of them are too many.
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert_told(visitor.register(first_name="\u0958" * 60), "first_name", htmx=False)
    assert set(rows().values()) == {0}


@browsers
@each(NOT_EMAILS)
def test_what_is_no_email(typed: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    assert_told(send_raw(visitor, "register", **PERSON | {"email": typed}), "email", htmx=htmx)
    assert set(rows().values()) == {0}


def test_what_was_typed_is_kept_beside_its_error() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.register(email="ines")
    assert f'value="{PERSON["first_name"]}"' in html_of(response)
    assert 'value="ines"' in html_of(response)


def test_all_wrong_fields_are_told_at_once() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.register(first_name="", last_name="🎉", email="x")
    assert all(error_beside(field, response) for field in PERSON)


@browsers
@each(NOT_CODES)
def test_what_is_no_code(typed: str, htmx: bool) -> None:
    account = make_account()
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone(account.phone or "")
    before = rows()
    assert_told(send_raw(visitor, "code", code=typed), "code", htmx=htmx)
    assert rows() == before
    # It has used up no try.
    assert last_code(account).tries == 0


@pytest.mark.parametrize("zero", ["٠", "۰", "०", "０"], ids=["arabic", "persian", "hindi", "wide"])
def test_a_code_in_digits_of_any_script(zero: str) -> None:
    account = make_account()
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    digits = last_code(account).digits()
    typed = "".join(chr(ord(zero) + int(digit)) for digit in digits)
    response = visitor.send("code", code=f" {typed[:3]} {typed[3:]} ")
    assert "/ticket/" in location_of(response)


def test_a_code_pasted_with_direction_marks() -> None:
    account = make_account()
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    pasted = f"\u202a{last_code(account).digits()}\u202c"
    assert "/ticket/" in location_of(visitor.send("code", code=pasted))


@pytest.mark.parametrize("language", ["", "xx", LONG, "\0", EMOJI, "en\r\nSet-Cookie: a=b", MARKUP])
def test_a_language_that_does_not_exist(language: str) -> None:
    visitor = Visitor(make_event())
    response = visitor.browser.post(
        "/i18n/setlang/", {"language": language, "next": visitor.event_url}
    )
    assert location_of(response) == visitor.event_url
    assert '<html lang="en"' in html_of(visitor.look())


@pytest.mark.parametrize(
    "back", ["", LONG, "\0", "//evil.example", "javascript:alert(1)", "a\r\nb"]
)
def test_the_language_switch_leads_nowhere_else(back: str) -> None:
    response = Client().post("/i18n/setlang/", {"language": "en", "next": back})
    assert response.status_code in {204, 302}
    assert "evil" not in response.get("Location", "")
    assert not response.get("Location", "/").startswith("javascript")


# Steps without what they need, and again ------------------------------------------------


@pytest.mark.parametrize("step", ["code", "register"])
def test_a_step_before_its_turn_leads_to_the_phone(step: str) -> None:
    visitor = Visitor(make_event())
    assert location_of(visitor.open(step)) == visitor.step_url("phone")
    response = visitor.send(step, **PERSON, code="123456", resend="1")
    assert location_of(response) == visitor.step_url("phone")
    assert set(rows().values()) == {0}


@browsers
@pytest.mark.parametrize("step", ["phone", "code", "register"])
def test_a_form_without_any_field(step: str, htmx: bool) -> None:
    account = make_account()
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone(account.phone or "")
    before = rows()
    response = visitor.send(step)
    assert response.status_code in {200, 422}
    assert rows() == before


def test_a_code_for_a_phone_that_nobody_has() -> None:
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


def test_going_back_and_registering_as_somebody_else_changes_nothing() -> None:
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


# Tokens ------------------------------------------------


def token_in(response: Answer) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html_of(response))
    assert found
    return found[1]


@browsers
@pytest.mark.parametrize("token", ["", "x" * 64, "expired", "\0", EMOJI, LONG])
@pytest.mark.parametrize("step", ["phone", "code", "register", "request"])
def test_a_form_with_a_token_that_does_not_count(step: str, token: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), checks_csrf=True, htmx=htmx)
    visitor.open("phone")
    fields = {"phone": TYPED_PHONE, "country": "PT", "code": "123456"} | PERSON
    response = visitor.send(step, **fields, csrfmiddlewaretoken=token)
    assert response.status_code == 403
    assert "That form got too old" in html_of(response)
    assert 'id="message"' in html_of(response)
    assert set(rows().values()) == {0}


def test_a_token_from_before_signing_in_no_longer_counts() -> None:
    visitor = Visitor(make_event(), checks_csrf=True)
    old = token_in(visitor.open("phone"))
    visitor.give_phone = lambda *_: visitor.send("phone", phone=PHONE, csrfmiddlewaretoken=old)  # type: ignore[method-assign]
    visitor.give_phone()
    assert "/ticket/" in location_of(visitor.register(csrfmiddlewaretoken=old))
    refused = visitor.send("request", csrfmiddlewaretoken=old)
    assert refused.status_code == 403
    # The way back leads to a form that works.
    fresh = token_in(visitor.look())
    assert "/ticket/" in location_of(visitor.send("request", csrfmiddlewaretoken=fresh))


def test_the_way_back_from_an_old_form_stays_here() -> None:
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


# Paths ------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/promo/nothing-here/",
        "/promo/nothing-here/-/phone/",
        "/promo/nothing-here/calendar.ics",
        "/promo/nothing-here/ticket/{uuid}/",
        "/promo/{event}/nobody/",
        "/promo/{event}/nobody/phone/",
        "/promo/{event}/UPPER/phone/",
        "/promo/{event}/-/nothing/",
        "/promo/{event}/-x/phone/",
        "/promo/{event}/🎉/phone/",
        "/promo/{event}/\u202e/phone/",
        "/promo/{event}/ticket/not-a-uuid/",
        "/promo/{event}/ticket/123/",
        "/promo/{event}/ticket/{uuid}x/",
        "/promo/{event}/ticket/٠٠٠٠٠٠٠٠-٠٠٠٠-٠٠٠٠-٠٠٠٠-٠٠٠٠٠٠٠٠٠٠٠٠/",
        "/promo/🎉/",
        "/promo/\u202e\u200f/",
        "/promo/" + "a" * 10_000 + "/",
        "/promo/{event}/" + "a" * 10_000 + "/phone/",
        "/promo/../admin/../../etc/passwd",
        "/promo/%ff%fe/",
        "/promo/{event}/%ff/",
        "/promo/%ed%a0%80/",
        "/guest/x",
        "/guest/" + "a" * 10_000,
        "/guest/%ff",
        "/guest/🎉",
        "/guest/../secret",
        "/media/qr/x.png",
        "/media/qr/..%2F..%2Fsecret.png",
        "/media/qr/" + "a" * 10_000 + ".png",
        "/media/qr/🎉.png",
        "/media/qr/%ff.png",
        "/media/posters/..",
        "/media/posters/..%2Fqr",
        "/media/posters/" + "a" * 10_000,
        "/media/posters/%ff",
    ],
)
def test_a_path_that_leads_nowhere(path: str) -> None:
    event = make_event()
    client = Client(headers={"accept-language": "en"})
    client.force_login(make_account())
    response = client.get(path.replace("{event}", event.slug).replace("{uuid}", str(uuid4())))
    assert response.status_code in {400, 404}
    assert "<h1" in html_of(response)


@pytest.mark.parametrize("where", ["{path}%00", "{path}?a=%00", "{path}?%00", "{path}?a=%2500"])
def test_null_bytes_in_addresses(where: str) -> None:
    guest = make_guest()
    visitor = Visitor(guest.event).signed_in(guest.account)
    paths = [visitor.event_url, visitor.step_url("phone"), f"/guest/{guest.qr_token}", "/promo/"]
    for path in paths:
        assert visitor.get(where.format(path=path)).status_code in {200, 400, 404}


@pytest.mark.parametrize(
    "query", ["?page=" + LONG, "?a=%ff", "?" + "a=1&" * 2000, "?🎉=\u202e", "?a[]="]
)
def test_queries_that_nobody_asked_for(query: str) -> None:
    visitor = Visitor(make_event())
    for path in (visitor.event_url, visitor.step_url("phone"), "/promo/"):
        assert visitor.get(path + query).status_code in {200, 400}


def test_an_event_that_is_not_published() -> None:
    event = make_event(is_published=False)
    visitor = Visitor(event).signed_in(make_account())
    assert visitor.look().status_code == visitor.send("request").status_code == 404
    assert visitor.get(f"/promo/{event.slug}/calendar.ics").status_code == 404
    assert event.title not in html_of(visitor.get("/promo/"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_methods_that_a_page_does_not_take(method: str) -> None:
    guest = make_guest()
    event = guest.event.slug
    ticket = GuestRequest.objects.get().ticket_id
    client = Client()
    client.force_login(guest.account)
    before = rows()
    for path in (
        "/promo/",
        f"/promo/{event}/",
        f"/promo/{event}/calendar.ics",
        f"/promo/{event}/ticket/{ticket}/",
        f"/guest/{guest.qr_token}",
        f"/media/qr/{guest.qr_token}.png",
    ):
        assert client.generic(method, path).status_code == 405, path
    if method != "POST":
        for step in ("phone", "code", "register", "request"):
            assert client.generic(method, f"/promo/{event}/-/{step}/").status_code == 405
    assert rows() == before


def test_head_is_a_get_without_a_body() -> None:
    guest = make_guest()
    client = Client()
    for path in ("/promo/", f"/promo/{guest.event.slug}/", f"/guest/{guest.qr_token}"):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")


# Bodies ------------------------------------------------

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
def test_bodies_that_are_no_form(step: str, body: bytes, content_type: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.browser.generic("POST", visitor.step_url(step), body, content_type)
    assert response.status_code in {200, 303, 400, 413, 415, 422}
    assert set(rows().values()) == {0}


def test_a_file_where_a_text_belongs() -> None:
    from io import BytesIO

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


# Headers ------------------------------------------------

COOKIES = [
    "session=garbage",
    "session=" + "a" * 7000,
    "session=.eJx:1:garbage; csrf=\x07",
    "session=\xff\xfe",
    "=;;==,,",
    "session",
    "language=" + "a" * 5000,
    "language=../../etc/passwd; messages=garbage",
    'a="\\"; session="',
]


@pytest.mark.parametrize("cookie", COOKIES, ids=lambda cookie: repr(cookie)[:24])
def test_cookies_that_are_garbage_are_no_session(cookie: str) -> None:
    event = make_event()
    client = Client(HTTP_COOKIE=cookie)
    assert client.get(f"/promo/{event.slug}/").status_code == 200
    response = client.post(f"/promo/{event.slug}/-/request/")
    assert location_of(response) == f"/promo/{event.slug}/-/phone/"
    response = client.post(f"/promo/{event.slug}/-/phone/", {"country": "PT", "phone": TYPED_PHONE})
    assert location_of(response) == f"/promo/{event.slug}/-/register/"


def test_a_session_with_one_letter_changed_is_none() -> None:
    visitor = Visitor(make_event()).signed_in(make_account())
    cookie = visitor.browser.cookies["session"].value
    for at in (3, len(cookie) // 2, len(cookie) - 3):
        changed = cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :]
        visitor.browser.cookies["session"] = changed
        assert location_of(visitor.send("request")) == visitor.step_url("phone")


@pytest.mark.parametrize(
    "host", ["evil.example", "a b", "", "testserver:x", "[::1", "é", "a" * 5000]
)
def test_a_host_that_is_not_ours(host: str) -> None:
    event = make_event()
    response = Client(HTTP_HOST=host).get(f"/promo/{event.slug}/")
    if host:
        assert response.status_code == 400
        assert "<h1" in html_of(response)
    assert b"evil.example" not in response.content


@pytest.mark.parametrize(
    "accepted",
    [
        "",
        "*",
        ",,,;;;",
        "xx-XX",
        "en;q=nan",
        "a" * 10_000,
        "pt," * 5000,
        "\xff",
        "en;q=1e999",
        "../..",
    ],
    ids=lambda value: repr(value)[:16],
)
def test_languages_that_browsers_do_not_send(accepted: str) -> None:
    event = make_event()
    assert Client(HTTP_ACCEPT_LANGUAGE=accepted).get(f"/promo/{event.slug}/").status_code == 200


@pytest.mark.parametrize("length", ["-1", "9" * 30, "many"])
def test_a_length_that_makes_no_sense_is_refused(length: str) -> None:
    visitor = Visitor(make_event())
    assert visitor.get(visitor.event_url, headers={"Content-Length": length}).status_code == 413


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HX-Request", "maybe"),
        ("HX-Current-URL", "\xff://"),
        ("HX-Target", MARKUP),
        ("X-Forwarded-For", "1.2.3.4, evil"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "gopher"),
        ("Referer", "\xff"),
        ("Range", "bytes=9-1"),
        ("If-Modified-Since", "yesterday"),
        ("Accept", "\xff/*"),
        ("User-Agent", LONG),
    ],
)
def test_headers_that_make_no_sense(name: str, value: str) -> None:
    visitor = Visitor(make_event())
    for path in (visitor.event_url, visitor.step_url("phone"), "/promo/"):
        response = visitor.get(path, headers={name: value})
        assert response.status_code == 200
        assert b"evil.example" not in response.content
        assert MARKUP.encode() not in response.content


# What is stored is shown as text ------------------------------------------------


def test_texts_of_staff_are_shown_as_text() -> None:
    event = make_event(title=MARKUP, venue=MARKUP, description=MARKUP, address=MARKUP)
    works = make_event_promoter(event)
    works.promoter.name = MARKUP
    works.promoter.save()
    account = make_account(first_name=MARKUP, last_name=MARKUP)
    guest = make_guest(event, account)
    visitor = Visitor(event, works.promoter.code).signed_in(account)
    pages = [visitor.look(), visitor.get("/promo/"), visitor.open("phone")]
    pages.append(visitor.get(location_of(visitor.send("request"))))
    pages.append(visitor.get(f"/guest/{guest.qr_token}"))
    for page in pages:
        assert page.status_code == 200
        assert MARKUP.encode() not in page.content
    assert visitor.get(reverse("promo:calendar", args=[event.slug])).status_code == 200


def test_no_two_steps_disagree_about_whose_event_it_is() -> None:
    one, other = make_event(), make_event()
    visitor = Visitor(one)
    visitor.give_phone()
    visitor.open("register")
    visitor.event = other
    assert location_of(visitor.register()) == visitor.step_url("phone")
    assert set(rows().values()) == {0}
