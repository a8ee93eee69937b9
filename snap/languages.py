"""The language of a visitor: Portuguese for speakers of it, English for speakers of any other."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation.trans_real import (
    get_supported_language_variant,
    parse_accept_lang_header,
)

# For browsers that name languages and none of ours.
OTHER_LANGUAGE = "en"


def language_of(request: HttpRequest) -> str:
    """Return the language of a request: a code of LANGUAGES."""
    return choose_language(
        cookie=request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, ""),
        header=request.headers.get("Accept-Language", ""),
    )


def choose_language(*, cookie: str, header: str) -> str:
    """Return the language that the cookie of the switch names, else the browser's best one.

    `header` is Accept-Language. A browser that names no language gets LANGUAGE_CODE, and one that
    names only languages that we do not have gets OTHER_LANGUAGE.
    """
    if chosen := _supported(cookie):
        return chosen
    named = _named_languages(header)
    for code in named:
        if chosen := _supported(code):
            return chosen
    if named:
        return OTHER_LANGUAGE
    return settings.LANGUAGE_CODE


def _named_languages(header: str) -> list[str]:
    """Return the languages in Accept-Language, the preferred one first.

    Some programs write `pt_PT`. A quality of 0 means "not this one", and `*` names no language.
    """
    named = []
    for code, quality in parse_accept_lang_header(header.replace("_", "-")):
        if quality > 0 and code != "*":
            named.append(code)
    return named


def _supported(code: str) -> str:
    """Return the code of LANGUAGES for a language or a variant of it, "" for any other."""
    try:
        return get_supported_language_variant(code)
    except LookupError:
        return ""
