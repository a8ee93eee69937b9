"""Phone numbers as people, keyboards and address books write them."""

import phonenumbers
import pytest
from phonenumbers import PhoneNumberType

from accounts.phones import (
    SERVICE_TYPES,
    PhoneError,
    may_receive_sms,
    parse_any_phone,
    parse_phone,
    parse_prefix,
    plain_phone,
)
from guests.exports import escape_formula

PHONE = "+351912345678"

SPELLINGS = [
    "912345678",
    "912 345 678",
    "912\u202f345\u202f678",
    "912\u00a0345\u2009678",
    "912\u3000345\u2007678",
    "912-345–678",
    "912—345\u2212678",
    "(912) 345.678",
    "912\t345\t678\n",
    "+351912345678",
    "++351912345678",
    "+ +351 912345678",
    "＋351 912345678",
    "﹢351 912345678",
    "00351 912 345 678",
    "(00351) 912345678",
    "(+351)912345678",
    "[+351] 912 345 678",
    "+351 (0) 912 345 678",
    "351912345678",
    "'+351 912 345 678",
    escape_formula("+351912345678"),
    "tel:+351-912-345-678",
    "tel:912345678;phone-context=+351",
    "tel:+351912345678;ext=12",
    "tel:%2B351912345678",
    "tel:+351%20912%20345%20678",
    "sms:+351912345678",
    "https://wa.me/351912345678",
    "912345678 ext. 3",
    "+351 912 345 678 (Ana)",
    "Ana: 912345678",
    "☎️ 912345678",
    "📞+351912345678",
    "+351·912·345·678",
    "+351_912_345_678",
    "+351 912’345’678",
    "912,345,678",
    "{+351} 912345678",
    "\u202d+351 912 345 678\u202c",
    "\u2066912\u200b345\u2060678\u2069",
    "٩١٢٣٤٥٦٧٨",
    "۹۱۲۳۴۵۶۷۸",
    "९१२३४५६७८",
    "００３５１９１２３４５６７８",
]


@pytest.mark.parametrize("typed", SPELLINGS)
def test_all_spellings_are_one_phone(typed: str) -> None:
    assert parse_phone(typed, "PT") == PHONE
    assert parse_phone(plain_phone(typed), "PT") == PHONE


def test_what_the_library_writes_is_read() -> None:
    for country in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
        if example is None or phonenumbers.number_type(example) in SERVICE_TYPES:
            continue
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        for style in range(4):
            written = phonenumbers.format_number(example, style)
            assert parse_phone(written, country) == e164, (country, written)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "empty"),
        (" \u200e\u00a0 ", "empty"),
        ("9" * 101, "too_long"),
        ("96123", "invalid"),
        ("abc", "invalid"),
        ("+", "invalid"),
        ("⁹⁶¹²³⁴⁵⁶⁷", "invalid"),
        ("+999 123 456 789", "invalid"),
        ("912345678 961234567", "invalid"),
        ("961\x07234567", "invalid"),
        ("961234567\0", "invalid"),
        ("\ud800961234567", "invalid"),
        ("760 100 200", "service"),
        ("707 200 200", "service"),
        ("808 200 200", "service"),
        ("800 200 200", "service"),
        ("112", "service"),
        ("+800 1234 5678", "service"),
    ],
)
def test_what_is_no_phone_is_refused_with_its_reason(typed: str, code: str) -> None:
    with pytest.raises(PhoneError) as refused:
        parse_phone(typed, "PT")
    assert refused.value.code == code


def test_a_national_phone_needs_a_country() -> None:
    with pytest.raises(PhoneError, match="no_country"):
        parse_phone("912345678")
    assert parse_phone("tel:912345678;phone-context=+351") == PHONE


def test_numbers_of_services_are_refused_in_every_country() -> None:
    refused = 0
    for country in phonenumbers.SUPPORTED_REGIONS:
        for kind in SERVICE_TYPES:
            example = phonenumbers.example_number_for_type(country, kind)
            if example is None or phonenumbers.number_type(example) != kind:
                continue
            number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            with pytest.raises(PhoneError, match="service"):
                parse_phone(number)
            assert parse_any_phone(number) == number
            refused += 1
    assert refused > 300


def test_a_vanity_number_is_read_by_its_letters() -> None:
    with pytest.raises(PhoneError, match="service"):
        parse_phone("1-800-FLOWERS", "US")
    assert parse_any_phone("1-800-FLOWERS", "US") == "+18003569377"


def test_landlines_are_phones_without_sms() -> None:
    assert parse_phone("210 000 000", "PT") == "+351210000000"
    assert not may_receive_sms("+351210000000")
    assert may_receive_sms(PHONE)
    # In the United States mobile phones and landlines look the same.
    assert may_receive_sms("+14155552671")


@pytest.mark.parametrize(
    ("typed", "country", "prefix"),
    [
        ("+351 91", "PT", "+35191"),
        ("91", "PT", "+35191"),
        ("00351 91…", "PT", "+35191"),
        ("[+351]\u202f91", "PT", "+35191"),
        ("07911", "GB", "+447911"),
        ("+1", "PT", "+1"),
    ],
)
def test_a_prefix_is_written_like_a_phone(typed: str, country: str, prefix: str) -> None:
    assert parse_prefix(typed, country) == prefix
