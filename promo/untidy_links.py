"""Promo links as people type them, and as chat apps and autocorrection change them."""

import re
import unicodedata
from urllib.parse import unquote

from django.urls import Resolver404, resolve

# Longer paths are no promo link that somebody typed.
MAX_LENGTH = 400

ROOT = "/promo/"
# A dash stands for "no promoter" in the path of a step.
DASH = "-"
SPACES = re.compile(r"\s+")
# Categories of characters that are not seen, and of dashes.
INVISIBLE, DASHES = {"Cc", "Cf", "Mn"}, {"Pd"}
# A minus sign is no dash by its category.
MINUS = "\N{MINUS SIGN}"


def tidy_path(path: str) -> str | None:
    """Return the path of the page that an untidy path under /promo/ means, None if none.

    Capitals, accents, spaces, quotation marks, punctuation around each part and kinds of dashes do
    not matter, nor do a missing or a second slash. No query: the event may not exist.
    """
    if len(path) > MAX_LENGTH:
        return None
    root, *parts = [part for part in map(_tidy_part, path.split("/")) if part]
    if root != ROOT.strip("/"):
        return None
    without_slash = "/".join(["", root, *parts])
    for tidied in (f"{without_slash}/", without_slash):
        if _is_promo_page(tidied):
            return tidied
    return None


def _tidy_part(part: str) -> str:
    plain = ""
    for character in unicodedata.normalize("NFKD", unquote(part)):
        category = unicodedata.category(character)
        if category in DASHES or character == MINUS:
            plain += DASH
        elif category not in INVISIBLE:
            plain += character
    if plain.strip() == DASH:
        return DASH
    return SPACES.sub(DASH, _without_ends(plain)).lower()


def _without_ends(text: str) -> str:
    """Return a text from its first letter or digit to its last one."""
    places = [place for place, character in enumerate(text) if character.isalnum()]
    if not places:
        return ""
    return text[places[0] : places[-1] + 1]


def _is_promo_page(path: str) -> bool:
    try:
        return resolve(path).namespaces == ["promo"]
    except Resolver404:
        return False
