"""Phone numbers: parsing typed ones into E.164, the stored form, and formatting them."""

import unicodedata
from functools import lru_cache

import phonenumbers

MAX_TYPED_LENGTH = 40


class PhoneError(ValueError):
    """The text is not a phone number. `code`: empty, too_long, no_country, invalid."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# Cached because both the limits and the form of a request parse the number.
@lru_cache(maxsize=1024)
def parse_phone(text: str, country: str | None = None) -> str:
    """Return the E.164 form (`+351912345678`) of a number as typed.

    `country` is the ISO 3166 code for numbers without a `+` or `00` prefix. Digits may be of any
    script, and invisible marks, as pasted from contacts, are ignored. Raises PhoneError.
    """
    if len(text) > MAX_TYPED_LENGTH:
        raise PhoneError("too_long")
    typed = remove_invisible(text).strip()
    if not typed:
        raise PhoneError("empty")
    if not all(c.isdigit() or c in "+＋ ().-/‐‑–\u00a0" for c in typed):
        raise PhoneError("invalid")
    if typed.startswith("00"):
        typed = "+" + typed[2:]
    if not country and typed[0] not in "+＋":
        raise PhoneError("no_country")
    try:
        number = phonenumbers.parse(typed, country or None)
    except phonenumbers.NumberParseException as error:
        raise PhoneError("invalid") from error
    if not phonenumbers.is_valid_number(number):
        raise PhoneError("invalid")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def remove_invisible(text: str) -> str:
    """Return a text without its format characters (Unicode Cf), such as direction marks."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def dial_code(country: str) -> int:
    """Return the calling code of an ISO 3166 country, or 0 if it has none."""
    return phonenumbers.country_code_for_region(country)


def readable_phone(phone: str) -> str:
    """Return an E.164 phone in groups of digits: `+351 912 345 678`."""
    number = phonenumbers.parse(phone)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def masked_phone(phone: str) -> str:
    """Return an E.164 phone with its middle hidden: `+351 912 … 78`."""
    start = " ".join(readable_phone(phone).split()[:2])
    return f"{start} … {phone[-2:]}"
