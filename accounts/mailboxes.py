"""Email addresses as pages show them: masked, and with a guess for a mistyped domain."""

import unicodedata

from accounts.mail_domains import COMMON_DOMAINS, MISTAKEN_DOMAINS, RIGHT_DOMAINS
from snap.mail_addresses import readable_address

MASK = "•••"
# The keys of a keyboard by row. A wrong letter is often a neighbour of the right one.
KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# Names of at most so many letters are close to the names of many other domains.
SHORT_NAME, SHORTEST_NAME = 4, 3
# Endings of countries, such as pt, are close to each other too.
COUNTRY_LENGTH = 2
# No domain of a guest's mail provider is longer than a common one by more than this.
MAX_DOMAIN_LENGTH = max(map(len, COMMON_DOMAINS)) + 1


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


def _without_one(domain: str) -> set[str]:
    """Return a domain, and each text with one of its letters left out."""
    return {domain, *(domain[:at] + domain[at + 1 :] for at in range(len(domain)))}


def _index() -> dict[str, list[str]]:
    """Return the common domains by themselves and by each text with one letter left out.

    Two texts that differ in one letter, or in the order of two, have such a text in common.
    """
    index: dict[str, list[str]] = {}
    for common in COMMON_DOMAINS:
        for key in _without_one(common):
            index.setdefault(key, []).append(common)
    return index


_COMMON = frozenset(COMMON_DOMAINS)
_by_part = _index()


def likely_domain(email: str) -> str:
    """Return the common domain that was probably meant, "" if the domain looks right.

    Takes microseconds: pages of places call it for each ticket.
    """
    domain = email.rpartition("@")[2].lower()
    if domain in RIGHT_DOMAINS or domain in _COMMON:
        return ""
    if mistaken := MISTAKEN_DOMAINS.get(domain):
        return mistaken
    if len(domain) > MAX_DOMAIN_LENGTH:
        return ""
    candidates = {common for key in _without_one(domain) for common in _by_part.get(key, ())}
    for common in COMMON_DOMAINS if candidates else ():
        if common in candidates and _is_slip(domain, common):
            return common
    return ""


def likely_email(email: str) -> str:
    """Return the address with its likely domain, "" if its own domain looks right."""
    domain = likely_domain(email)
    if not domain:
        return ""
    return f"{email.rpartition('@')[0]}@{domain}"


def _is_slip(typed: str, meant: str) -> bool:
    """Return whether one slip of the finger turns the domain that was meant into the typed one.

    A letter is missing, added, wrong, or swapped with the next one. In a short name only some of
    these are taken for a slip, because too many other domains are that close.
    """
    at = _first_difference(typed, meant)
    left, right = typed[at:], meant[at:]
    if left[:2] == right[1::-1] and left[2:] == right[2:]:
        return True
    name, _dot, ending = meant.partition(".")
    is_in_name = at <= len(name)
    if left[1:] == right or left == right[1:]:
        return not (is_in_name and len(name) <= SHORTEST_NAME)
    if not left or not right or left[1:] != right[1:]:
        return False
    is_short = len(name) <= SHORT_NAME if is_in_name else len(ending) == COUNTRY_LENGTH
    if not is_short:
        return True
    return len(name) > SHORTEST_NAME and _are_neighbours(left[0], right[0])


def _are_neighbours(one: str, other: str) -> bool:
    """Return whether two letters are beside, above or below each other on a keyboard."""
    places = {key: (row, at) for row, keys in enumerate(KEY_ROWS) for at, key in enumerate(keys)}
    if one not in places or other not in places:
        return False
    (row, at), (other_row, other_at) = places[one], places[other]
    if row == other_row:
        return abs(at - other_at) == 1
    # Each row begins half a key further to the right than the row above it.
    lower, upper = (at, other_at) if row > other_row else (other_at, at)
    return abs(row - other_row) == 1 and upper - lower in {0, 1}


def _first_difference(typed: str, meant: str) -> int:
    at = 0
    while at < min(len(typed), len(meant)) and typed[at] == meant[at]:
        at += 1
    return at
