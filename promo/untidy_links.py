"""Promo links as people type them, and as chat apps and autocorrection change them."""

import re
import unicodedata
from urllib.parse import unquote

from django.urls import Resolver404, resolve

# Longer paths are no promo link that somebody typed.
MAX_LENGTH = 400

ROOT = "promo"
# A dash stands for "no promoter" in the path of a step.
DASH = "-"
SPACES = re.compile(r"\s+")
# Categories of characters that are not seen, and of dashes.
INVISIBLE, DASHES = {"Cc", "Cf", "Mn"}, {"Pd"}
# A minus sign is no dash by its category, and people write an underscore for one.
OTHER_DASHES = "\N{MINUS SIGN}_"
# A query whose `?` was encoded, or that begins with another sign, as programs add it to a link.
QUERY = re.compile("[?#].*", re.DOTALL)
ADDED_TO_CODE = re.compile("[&;=].*", re.DOTALL)
# Paths below an event that are no promo link of a promoter.
NOT_CODES = {"ticket", "calendar.ics"}
NOT_IN_CODES = re.compile("[^a-z0-9]+")
MAX_CODE_LENGTH = 40


def tidy_path(path: str) -> str | None:
    """Return the path of the page that an untidy path under /promo/ means, None if none.

    Capitals, accents, spaces, quotation marks, punctuation around each part and kinds of dashes do
    not matter, nor do a missing or a second slash. No query: the event may not exist.
    """
    if len(path) > MAX_LENGTH:
        return None
    parts = [_tidy_part(part) for part in path.split("/") if part]
    while parts and not parts[-1]:
        parts.pop()
    if "" in parts or parts[:1] != [ROOT]:
        return None
    if len(parts) == 1 and _has_symbol(unquote(path)):
        # An event was meant.
        return None
    without_slash = "/".join(["", *parts])
    for tidied in (f"{without_slash}/", without_slash):
        if _is_promo_page(tidied):
            return tidied
    return _find_link(parts[1:])


def _find_link(parts: list[str]) -> str | None:
    """Return the promo link that begins a longer or a mistyped path, None if none.

    A code keeps what is left of it, so that it is logged when nobody has it.
    """
    if len(parts) < 2 or parts[1] in NOT_CODES:
        return None
    event, code = parts[:2]
    code = NOT_IN_CODES.sub(DASH, ADDED_TO_CODE.sub("", code)).strip(DASH)
    for tidied in (f"/{ROOT}/{event}/{code[:MAX_CODE_LENGTH]}/", f"/{ROOT}/{event}/"):
        if _is_promo_page(tidied):
            return tidied
    return None


def _tidy_part(part: str) -> str:
    plain = ""
    for character in unicodedata.normalize("NFKD", unquote(part)):
        category = unicodedata.category(character)
        if category in DASHES or character in OTHER_DASHES:
            plain += DASH
        elif category not in INVISIBLE:
            plain += character
    if plain.strip() == DASH:
        return DASH
    meant = QUERY.sub("", _without_ends(plain))
    return SPACES.sub(DASH, _without_ends(meant)).lower()


def _without_ends(text: str) -> str:
    """Return a text from its first letter or digit to its last one."""
    places = [place for place, character in enumerate(text) if character.isalnum()]
    if not places:
        return ""
    return text[places[0] : places[-1] + 1]


def _has_symbol(path: str) -> bool:
    return any(unicodedata.category(character).startswith("S") for character in path)


def _is_promo_page(path: str) -> bool:
    try:
        return resolve(path).namespaces == ["promo"]
    except Resolver404:
        return False
