"""Countries of phone numbers: their names, and their order in the phone form."""

import unicodedata
from functools import lru_cache

from django.conf import settings
from django.utils.translation import get_language

from accounts.country_names import NAMES
from accounts.phones import dial_code
from snap.local_cache import on_reset

# Code and label of a country, such as ("PT", "Portugal +351").
Choice = tuple[str, str]


def likely_countries() -> list[Choice]:
    """Return the default country and those of LIKELY_COUNTRIES, in that order."""
    labels = country_labels()
    codes = dict.fromkeys([settings.DEFAULT_COUNTRY, *settings.LIKELY_COUNTRIES])
    return [(code, labels[code]) for code in codes if code in labels]


def other_countries() -> list[Choice]:
    """Return all other countries, by their names in the active language."""
    likely = dict(likely_countries())
    return [choice for choice in country_labels().items() if choice[0] not in likely]


def country_labels() -> dict[str, str]:
    """Return the labels of all countries, by code, in the order of the active language."""
    return _country_labels(get_language() or "")


@lru_cache
def _country_labels(language: str) -> dict[str, str]:
    index = 1 if language.startswith("pt") else 0
    names = {code: both[index] for code, both in NAMES.items()}
    in_order = sorted(names.items(), key=lambda each: collation_key(each[1]))
    return {code: f"{name} +{dial_code(code)}" for code, name in in_order}


on_reset(_country_labels.cache_clear)


def collation_key(name: str) -> tuple[str, str]:
    """Return the key that sorts names as dictionaries do: accents and capitals count last."""
    decomposed = unicodedata.normalize("NFD", name.casefold().replace("-", " "))
    letters = "".join(c for c in decomposed if c.isalnum() or c == " ")
    return letters, name
