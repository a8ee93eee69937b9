"""Phone numbers: what people type, and the one form in which we keep them (E.164)."""

import unicodedata
from functools import lru_cache

import phonenumbers

MAX_TYPED_LENGTH = 40


class PhoneError(ValueError):
    """The text is not a phone number. `code`: empty, too_long, no_country, invalid."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# A request's limits and its form both want the number.
@lru_cache(maxsize=1024)
def parse_phone(text: str, country: str | None = None) -> str:
    """Return the E.164 form (`+351912345678`) of a number as typed.

    `country` is the ISO 3166 code used when the number has no `+` or `00` prefix. Digits of any
    script and invisible direction marks, as pasted from contacts, are understood.
    Raises PhoneError.
    """
    if len(text) > MAX_TYPED_LENGTH:
        raise PhoneError("too_long")
    typed = "".join(c for c in text if unicodedata.category(c) != "Cf").strip()
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


def dial_code(country: str) -> int:
    """Return the calling code of an ISO 3166 country, 0 where it has none."""
    return phonenumbers.country_code_for_region(country)


def readable_phone(phone: str) -> str:
    """Return an E.164 phone in groups, for people: `+351 912 345 678`."""
    number = phonenumbers.parse(phone)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def masked_phone(phone: str) -> str:
    """Return an E.164 phone with its middle hidden, for lists: `+351 912 … 78`."""
    start = " ".join(readable_phone(phone).split()[:2])
    return f"{start} … {phone[-2:]}"
