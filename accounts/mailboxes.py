"""Email addresses as pages show them: masked, and with a guess for a mistyped domain."""

import unicodedata

from snap.mail_addresses import readable_address

MASK = "•••"
# Domains of many guests, one of which is meant by a domain that differs from it in one place.
COMMON_DOMAINS = ("gmail.com", "hotmail.com", "icloud.com", "outlook.com", "sapo.pt", "yahoo.com")
# Domains of mail providers that look like mistyped ones.
OTHER_DOMAINS = {"email.com", "fmail.com", "mail.com", "outlook.co", "ymail.com"}


def masked_email(email: str) -> str:
    """Return an address with its name hidden but for the first letter: `m•••@gmail.com`.

    The domain is shown whole, because most mistakes are there. "" for an empty address.
    """
    name, at, domain = readable_address(email).rpartition("@")
    if not at:
        return ""
    return f"{_first_letter(name)}{MASK}@{domain}"


def _first_letter(name: str) -> str:
    """Return the first character of a name with the marks on it, "" for a name of only one."""
    letter, rest = name[:1], name[1:]
    while rest and unicodedata.combining(rest[0]):
        letter, rest = letter + rest[0], rest[1:]
    return letter if rest else ""


def likely_domain(email: str) -> str:
    """Return the common domain that was probably meant, "" if the domain looks right."""
    domain = email.rpartition("@")[2].lower()
    if domain in COMMON_DOMAINS or domain in OTHER_DOMAINS:
        return ""
    for common in COMMON_DOMAINS:
        if _differs_in_one_place(domain, common):
            return common
    return ""


def likely_email(email: str) -> str:
    """Return the address with its likely domain, "" if its own domain looks right."""
    domain = likely_domain(email)
    if not domain:
        return ""
    return f"{email.rpartition('@')[0]}@{domain}"


def _differs_in_one_place(typed: str, meant: str) -> bool:
    """Return whether one letter is missing, added, wrong, or swapped with the next one."""
    start = 0
    while start < min(len(typed), len(meant)) and typed[start] == meant[start]:
        start += 1
    left, right = typed[start:], meant[start:]
    is_swapped = left[:2] == right[1::-1] and left[2:] == right[2:]
    return is_swapped or left[1:] == right[1:] or left[1:] == right or left == right[1:]
