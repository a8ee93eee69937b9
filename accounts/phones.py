"""Phone numbers: parsing typed ones into E.164, the stored form, and formatting them."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import phonenumbers
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from phonenumbers import PhoneNumber, PhoneNumberType

from snap.text import without_invisible
from snap.text_fields import Get, LineField, Set

MAX_TYPED_LENGTH = 100
PHONE_MESSAGES = {
    "empty": _("Write your phone number."),
    "too_long": _("This is too long for a phone number."),
    "no_country": _("Choose the country, or begin with + and its code."),
    "invalid": _("This is not a phone number. Check the digits and the country."),
    "service": _("This number belongs to a service. It has to be that of a person."),
}

# Numbers of companies and machines. A voice over IP number and a personal number are a person's.
SERVICE_TYPES = {
    PhoneNumberType.PREMIUM_RATE,
    PhoneNumberType.SHARED_COST,
    PhoneNumberType.TOLL_FREE,
    PhoneNumberType.UAN,
    PhoneNumberType.PAGER,
    PhoneNumberType.VOICEMAIL,
}
INTERNATIONAL = phonenumbers.PhoneNumberFormat.INTERNATIONAL
E164 = phonenumbers.PhoneNumberFormat.E164

PLUSES = "+＋﹢⁺"
MINUS = "\u2212"
# What comes before the country code, in brackets or behind `tel:` too.
PREFIX = re.compile(r"[^\d+]*(?:(?:\+\s*)+|00)")
# The zero that is dialled only inside the country: +44 (0) 20 …
TRUNK_ZERO = re.compile(r"\(\s*0\s*\)")
# What stands between two groups of digits, whatever sign it is. A word or a plus is no such sign.
SEPARATOR = re.compile(r"(?<=\d)[^\w+]+(?=\d)|(?<=\d)_+(?=\d)")
# A word behind the number: 912 345 678 (Ana)
LABEL = re.compile(r"(?<=\d)\D*[^\W\d]\D*$")


class PhoneError(ValueError):
    """The text is not the phone number of a person. `code` is a key of PHONE_MESSAGES."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# Cached because both the limits and the form of a request parse the number.
@lru_cache(maxsize=1024)
def parse_phone(text: str, country: str | None = None) -> str:
    """Return the E.164 form (`+351912345678`) of a person's number as typed or pasted.

    `country` is the ISO 3166 code for numbers without a `+` or `00` prefix. What libphonenumber
    reads is read. Raises PhoneError.
    """
    number, kind = _read(text, country)
    if kind in SERVICE_TYPES:
        raise PhoneError("service")
    return phonenumbers.format_number(number, E164)


def parse_any_phone(text: str, country: str | None = None) -> str:
    """Return the E.164 form of any valid number, a service's too. Raises PhoneError."""
    number, _kind = _read(text, country)
    return phonenumbers.format_number(number, E164)


def parse_prefix(text: str, country: str) -> str:
    """Return the first digits of numbers as in E.164 (`+351912`). Raises PhoneError.

    Without a `+` or `00` they are those of the country's numbers.
    """
    if len(text) > MAX_TYPED_LENGTH:
        raise PhoneError("too_long")
    plain = _with_plus(plain_phone(text))
    digits = re.sub(r"\D", "", plain)
    if not digits:
        raise PhoneError("empty")
    if plain.startswith("+"):
        return f"+{digits}"
    trunk = phonenumbers.ndd_prefix_for_region(country, strip_non_digits=True) or ""
    return f"+{dial_code(country)}{digits.removeprefix(trunk)}"


def plain_phone(text: str) -> str:
    """Return a typed phone with ASCII digits, spaces, dashes and plus.

    Invisible characters are removed. All others stay, so that the parser decides about them.
    """
    if len(text) > MAX_TYPED_LENGTH or (text.isascii() and text.isprintable()):
        return text.strip()
    return "".join(map(_plain, without_invisible(text))).strip()


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Zs" or character in "\t\r\n":
        return " "
    if category == "Pd" or character == MINUS:
        return "-"
    if character in PLUSES:
        return "+"
    return character


def _read(text: str, country: str | None) -> tuple[PhoneNumber, int]:
    """Return a valid number as typed, and its PhoneNumberType. Raises PhoneError."""
    if len(text) > MAX_TYPED_LENGTH:
        raise PhoneError("too_long")
    plain = plain_phone(text)
    if not plain:
        raise PhoneError("empty")
    if "%" in plain:
        # A link: tel:%2B351912345678
        plain = unquote(plain)
    if any(unicodedata.category(character).startswith("C") for character in plain):
        raise PhoneError("invalid")
    code = "invalid"
    for spelling in _spellings(_with_plus(plain)):
        try:
            number = phonenumbers.parse(spelling, country or None)
        except phonenumbers.NumberParseException as error:
            is_national = error.error_type == error.INVALID_COUNTRY_CODE and "+" not in plain
            if is_national and not country:
                code = "no_country"
            continue
        kind = phonenumbers.number_type(number)
        if kind != PhoneNumberType.UNKNOWN:
            return number, kind
        if phonenumbers.is_valid_short_number(number):
            code = "service"
    raise PhoneError(code)


def _with_plus(plain: str) -> str:
    """Return a number with one `+` in front if it has a country code."""
    prefix = PREFIX.match(plain)
    if prefix is None:
        return plain
    return "+" + plain[prefix.end() :]


def _spellings(plain: str) -> Iterator[str]:
    """Return a number as typed, and then without what people add to it."""
    yield plain
    reduced = SEPARATOR.sub(" ", LABEL.sub("", TRUNK_ZERO.sub("", plain)))
    if reduced != plain:
        yield reduced


def dial_code(country: str) -> int:
    """Return the calling code of an ISO 3166 country, or 0 if it has none."""
    return phonenumbers.country_code_for_region(country)


def may_receive_sms(phone: str) -> bool:
    """Return whether an E.164 phone is not a landline for certain. False for none."""
    if not phone:
        return False
    return phonenumbers.number_type(phonenumbers.parse(phone)) != PhoneNumberType.FIXED_LINE


def readable_phone(phone: str) -> str:
    """Return an E.164 phone in groups of digits: `+351 912 345 678`."""
    return phonenumbers.format_number(phonenumbers.parse(phone), INTERNATIONAL)


def masked_phone(phone: str) -> str:
    """Return an E.164 phone with its middle hidden: `+351 912 … 78`."""
    start = " ".join(readable_phone(phone).split()[:2])
    return f"{start} … {phone[-2:]}"


def clean_phone(typed: str) -> str:
    """Return the E.164 form of a phone that staff type, "" for none. Raises ValidationError."""
    try:
        return parse_phone(typed, settings.DEFAULT_COUNTRY)
    except PhoneError as error:
        if error.code == "empty":
            return ""
        raise ValidationError(PHONE_MESSAGES[error.code], code=error.code) from error


class PhoneField(LineField[Set, Get]):
    """A column of a person's phone, in E.164."""

    @staticmethod
    def cleaner(text: str) -> str:
        return clean_phone(text)

    def formfield(self, *classes: Any, **options: Any) -> Any:
        """Return a form field without a maximum of typed characters: spaces do not count."""
        field = super().formfield(*classes, **options)
        field.widget.attrs.pop("maxlength", None)
        return field
