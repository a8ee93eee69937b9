"""Email addresses: one form for storing, sending and comparing, and one for people.

The stored form has an ASCII domain, by IDNA 2008 (decision 0024). So nothing behind it encodes a
domain: neither Django, whose encoder is that of IDNA 2003 and leads to other domains, nor the
library of a mail provider.
"""

import re
import unicodedata
from email.utils import formataddr, parseaddr

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from snap.text import clean_line

NOT_AN_EMAIL = _("This is not an email address. It looks like ana@example.com.")
UNREACHABLE = _("This address cannot receive email.")
NOT_ASCII = _("Before the @, write letters without accents, digits and signs only.")

MAX_LENGTH = 254
# The most characters before the @ that mail servers accept (RFC 5321, 4.5.3.1.1).
MAX_LOCAL_LENGTH = 64

# An address as programs copy it: `Ana <ana@example.com>`, `mailto:ana@example.com?subject=…`.
NAMED = re.compile(r"([^<>]*)<([^<>\s]+)>[\s,;.]*")
MAILTO = re.compile(r"mailto:(?://)?([^?]*)(?:\?.*)?", re.IGNORECASE)
QUOTES = "\"'`´‘’“”„«»‹›"
# Quotes may also be part of an address: "ana maria"@example.com.
QUOTED = re.compile("[\"']@")
OPENING = " <([{" + QUOTES
CLOSING = " >)]},;:.!…" + QUOTES
# The end of a domain that the internet knows: a dot, and a top level that is no number of an IP
# address.
PUBLIC_DOMAIN = re.compile(r"[.。｡．](?!\d+$)[^\[\].]+$")
# Scripts that are written together, under one name.
ONE_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}
WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
# The full stops that IDNA reads as a dot, and the small @.
WIDE |= {ord("。"): ord("."), ord("｡"): ord("."), ord("﹫"): ord("@")}
# What word processors write for the apostrophe and the hyphen that are typed.
TYPED = {ord(sign): ord("'") for sign in "´`‘’ʼ′"} | {ord(sign): ord("-") for sign in "‐‑–−"}


def clean_email(typed: str) -> str:
    """Return the stored form of an address as typed or pasted. Raises ValidationError.

    A name, quotes, brackets and stops around it are removed, and so are invisible characters.
    """
    text = clean_line(typed)
    if not text:
        return ""
    local, _at, domain = _unwrap(text.translate(WIDE)).rpartition("@")
    domain = domain.translate(TYPED)
    if not local.isascii():
        local = local.translate(TYPED)
    if not local.isascii():
        raise ValidationError(NOT_ASCII, code="not_ascii")
    if not local or len(local) > MAX_LOCAL_LENGTH or len(domain) > MAX_LENGTH:
        raise ValidationError(NOT_AN_EMAIL, code="invalid")
    if not PUBLIC_DOMAIN.search(domain):
        raise ValidationError(UNREACHABLE, code="unreachable")
    try:
        address = f"{local}@{ascii_domain(domain)}"
        validate_email(address)
    except ValidationError as error:
        raise ValidationError(NOT_AN_EMAIL, code="invalid") from error
    except UnicodeError as error:
        raise ValidationError(UNREACHABLE, code="unreachable") from error
    return address


def ascii_domain(domain: str) -> str:
    """Return a domain in lower case and ASCII, by IDNA 2008. Raises UnicodeError.

    Letters are mapped as in UTS 46, without its transitional mapping, which would make faß.example
    fass.example.
    """
    lower = domain.lower()
    if not lower.isascii():
        lower = idna.encode(domain, uts46=True).decode("ascii")
    elif "xn--" in lower:
        idna.decode(lower)
    return lower


def ascii_address(address: str) -> str:
    """Return a stored address for SMTP and for headers. Raises UnicodeError.

    Addresses that were stored before domains were encoded may have one in Unicode. A name before
    the address (`SNAP <ola@example.com>`) is kept.
    """
    if address.isascii():
        return address
    name, bare = parseaddr(address)
    local, at, domain = bare.rpartition("@")
    if not at:
        return address
    bare = f"{local}@{ascii_domain(domain)}"
    if not name:
        return bare
    return formataddr((name, bare))


def is_same_address(stored: str, other: str) -> bool:
    """Return whether two stored addresses are one. Their domains may be in ASCII or in Unicode."""
    try:
        return ascii_address(stored) == ascii_address(other)
    except UnicodeError:
        return stored == other


def readable_address(address: str) -> str:
    """Return a stored address for people: with its domain in Unicode.

    A domain stays in ASCII if one of its labels mixes scripts, because its letters could pretend to
    be others.
    """
    local, at, domain = address.rpartition("@")
    if "xn--" not in domain:
        return address
    try:
        decoded = idna.decode(domain)
    except UnicodeError:
        return address
    if any(len(_scripts(label)) > 1 for label in decoded.split(".")):
        return address
    return f"{local}{at}{decoded}"


def _unwrap(text: str) -> str:
    """Return the address of a text that was copied with more than the address."""
    if named := NAMED.fullmatch(text):
        name, address = named.groups()
        if "@" in name and _unwrap(name) != _unwrap(address):
            # Two addresses: nobody knows which of them is meant.
            return text
        text = address
    if not QUOTED.search(text):
        text = text.lstrip(OPENING)
    if mailto := MAILTO.fullmatch(text):
        text = mailto[1]
    return text.rstrip(CLOSING)


def _scripts(label: str) -> set[str]:
    """Return the scripts of a label's letters. The scripts of Japanese count as one."""
    scripts = set()
    for character in label:
        if character.isalpha():
            script = unicodedata.name(character, "?").split()[0]
            scripts.add(ONE_SCRIPT.get(script, script))
    return scripts
