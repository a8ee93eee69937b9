"""Values of form fields: a wrong one gets an error beside its field, a right one is normalised."""

import pytest
from django.test import Client

from accounts.models import User
from guests.models import Guest
from tests.factories import make_account, make_event
from tests.helpers.odd_texts import (
    CONTROL_CHARACTERS,
    DIRECTION_MARKS,
    EMOJI,
    HALF_A_SURROGATE,
    LONG,
    MARKUP,
    SQL,
)
from tests.helpers.visitors import (
    PERSON,
    TYPED_PHONE,
    Response,
    Visitor,
    error_beside,
    html_of,
    is_partial,
    last_code,
    location_of,
    rows,
    with_and_without_htmx,
)

pytestmark = pytest.mark.django_db
NULL = "96\0123456"

NOT_PHONES = {
    "empty": "",
    "spaces": "   ",
    "long": LONG,
    "null byte": NULL,
    "emoji": EMOJI,
    "only direction marks": DIRECTION_MARKS,
    "control characters": CONTROL_CHARACTERS,
    "letters": "abc",
    "markup": MARKUP,
    "quotes": SQL,
    "too short": "96123",
    "no such number": "000 000 000",
    "only a plus": "+",
    "an unknown country": "+999 123 456 789",
    "half a surrogate": HALF_A_SURROGATE,
    "superscript digits": "⁹⁶¹²³⁴⁵⁶⁷",
}
NO_NAMES = {
    "empty": "",
    "spaces": "   ",
    "only direction marks": DIRECTION_MARKS,
    "zero-width spaces": "\u200b\u200b",
    "a blank of Hangul": "\u3164",
}
NOT_NAMES = {
    "long": "a" * 10_000,
    "null byte": "In\0es",
    "emoji": "Inês 🎉",
    "control characters": f"Inês{CONTROL_CHARACTERS}",
    "an address": "Win a prize www.evil.com",
    "a short address": "evil.co",
    "an address with path": "bit.ly/x",
    "markup": MARKUP,
    "quotes": SQL,
    "line ends": "Inês\r\nBcc: all@example.com",
    "only signs": "...",
    "an email": "ines@example.com",
    "half a surrogate": HALF_A_SURROGATE,
}
NOT_EMAILS = {
    "empty": "",
    "long": "a" * 10_000 + "@example.com",
    "null byte": "ines\0@example.com",
    "emoji": "🎉@example.com",
    "no domain": "ines",
    "two": "ines@example.com,eva@example.com",
    "line ends": "ines@example.com\r\nBcc: all@example.com",
    "markup": MARKUP,
    "half a surrogate": f"{HALF_A_SURROGATE}@example.com",
}
NOT_CODES = {
    "empty": "",
    "spaces": "      ",
    "long": LONG,
    "null byte": "12345\0",
    "emoji": EMOJI * 6,
    "direction marks": DIRECTION_MARKS * 2,
    "letters": "abcdef",
    "five": "12345",
    "seven": "1234567",
    "superscripts": "¹²³⁴⁵⁶",
    "negative": "-12345",
    "half a surrogate": HALF_A_SURROGATE * 6,
}


def each(wrong: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("typed", wrong.values(), ids=wrong.keys())


def assert_field_error(response: Response, field: str, *, htmx: bool) -> None:
    """Check that a response shows its form again with an error beside a field."""
    assert response.status_code == 422
    assert len(error_beside(field, response)) > 5
    assert f'aria-describedby="id_{field}_error"' in html_of(response)
    assert 'aria-invalid="true"' in html_of(response)
    assert is_partial(response) == htmx
    assert MARKUP.encode() not in response.content


def encoded(fields: dict[str, str]) -> bytes:
    """Encode a form whose values may be invalid text."""
    pairs = (f"{name}=".encode() + quoted(value) for name, value in fields.items())
    return b"&".join(pairs)


def quoted(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw).encode()


def send_raw(visitor: Visitor, step: str, **fields: str) -> Response:
    return visitor.browser.post(
        visitor.step_url(step),
        encoded(visitor.hidden_fields(step) | fields),
        content_type="application/x-www-form-urlencoded",
    )


@with_and_without_htmx
@each(NOT_PHONES)
def test_an_invalid_phone_is_refused(typed: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), htmx=htmx)
    assert_field_error(send_raw(visitor, "phone", country="PT", phone=typed), "phone", htmx=htmx)
    assert set(rows().values()) == {0}


@pytest.mark.parametrize(
    "country", ["", "XX", "pt", LONG, "\0", EMOJI, DIRECTION_MARKS, HALF_A_SURROGATE]
)
def test_an_invalid_country_is_refused(country: str) -> None:
    response = send_raw(Visitor(make_event()), "phone", country=country, phone=TYPED_PHONE)
    assert response.status_code == 422
    assert error_beside("phone", response) or error_beside("country", response)
    assert set(rows().values()) == {0}


def test_a_national_phone_without_country_is_refused() -> None:
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
def test_all_spellings_of_a_phone_are_accepted(typed: str) -> None:
    visitor = Visitor(make_event())
    assert location_of(visitor.give_phone(typed)) == visitor.step_url("register")
    assert "+351 961 234 567" in html_of(visitor.open("register"))


def test_a_plus_wins_over_the_country() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone("+34 612 34 56 78", country="PT")
    assert "+34 612 34 56 78" in html_of(visitor.open("register"))


@each(NO_NAMES)
def test_the_first_name_is_required_and_the_last_name_is_not(typed: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    refused = visitor.register(first_name=typed)
    assert_field_error(refused, "first_name", htmx=False)
    assert "/ticket/" in location_of(visitor.register(last_name=typed))
    account = User.objects.get()
    assert (account.last_name, account.name) == ("", PERSON["first_name"])
    assert Guest.objects.get().name == PERSON["first_name"]


@with_and_without_htmx
@pytest.mark.parametrize("field", ["first_name", "last_name"])
@each(NOT_NAMES)
def test_an_invalid_name_is_refused(field: str, typed: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    assert_field_error(send_raw(visitor, "register", **PERSON | {field: typed}), field, htmx=htmx)
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
        ("Ana", "D´Almeida"),
        ("Sean", "O`Neill"),
        ("Marie–Claire", "King, Jr."),
        ("María José (Pepa)", "Ó Súilleabháin"),
        ("‘Alī", "'t Hart"),
        ("می‌ترا", "क्‍ष"),
    ],
)
def test_real_names_are_accepted(first: str, last: str) -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert "/ticket/" in location_of(visitor.register(first_name=first, last_name=last))
    assert Guest.objects.get().name == f"{first} {last}"


def test_names_are_normalised() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.register(first_name="  Ine\u0302s   Maria ", last_name="\u200fExemplo\u200e")
    account = User.objects.get()
    assert (account.first_name, account.last_name) == ("In\u00eas Maria", "Exemplo")


def test_the_length_of_a_name_is_checked_after_normalisation() -> None:
    # U+0958 is two characters in composed form, so sixty of them are too long.
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert_field_error(visitor.register(first_name="\u0958" * 60), "first_name", htmx=False)
    assert set(rows().values()) == {0}


@with_and_without_htmx
@each(NOT_EMAILS)
def test_an_invalid_email_is_refused(typed: str, htmx: bool) -> None:
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    assert_field_error(
        send_raw(visitor, "register", **PERSON | {"email": typed}), "email", htmx=htmx
    )
    assert set(rows().values()) == {0}


def test_a_refused_form_keeps_its_values() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.register(email="ines")
    assert f'value="{PERSON["first_name"]}"' in html_of(response)
    assert 'value="ines"' in html_of(response)


def test_all_wrong_fields_get_their_errors_at_once() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.register(first_name="", last_name="🎉", email="x")
    assert all(error_beside(field, response) for field in PERSON)


@with_and_without_htmx
@each(NOT_CODES)
def test_an_invalid_code_is_refused_and_uses_no_try(typed: str, htmx: bool) -> None:
    account = make_account()
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone(account.phone or "")
    before = rows()
    assert_field_error(send_raw(visitor, "code", code=typed), "code", htmx=htmx)
    assert rows() == before
    # The code keeps all its tries.
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
def test_an_unknown_language_changes_nothing(language: str) -> None:
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
