"""The texts of our own catalogues: all others come from Django and other packages."""

import re
from functools import cache

import polib  # type: ignore[import-untyped]

from tests.catalogues import catalogues

# A place for a value, and the digits or words that can be in it.
PLACEHOLDER = re.compile(r"%\\\(\w+\\\)[sd]|\\\{[^}]*\\\}|%s")
# Portuguese that says "você" to a person to whom we say "tu", and Django's phrases.
FORMAL = re.compile(
    r"\b(você|vocês|introduza|insira|certifique|clique|tente|escolha|verifique|aguarde|selecione"
    r"|seleccione|digite|espere|escreva|guarde|indique|preencha|confirme|envie|volte)\b"
    r"|\beste campo\b|\bobrigatóri",
    re.IGNORECASE,
)


def is_own(text: str, language: str) -> bool:
    """Return whether a text, with its values filled in, is in our catalogues. "pt-pt" or "en"."""
    return any(pattern.fullmatch(text) for pattern in _patterns(language))


@cache
def _patterns(language: str) -> list[re.Pattern[str]]:
    patterns = []
    for text in own_texts(language):
        patterns.append(re.compile(PLACEHOLDER.sub(".*", re.escape(text)), re.DOTALL))
    return patterns


def own_texts(language: str) -> set[str]:
    """Return all texts that we have written in a language."""
    written, overridden, sources = set(), set(), set()
    for path in catalogues():
        is_english = "/en/" in path.as_posix()
        for entry in polib.pofile(str(path)):
            translations = {entry.msgstr, *entry.msgstr_plural.values()} - {""}
            originals = {entry.msgid, entry.msgid_plural} - {""}
            if is_english:
                overridden |= originals
            sources |= originals
            if is_english == (language == "en"):
                written |= translations
    if language == "en":
        return written | (sources - overridden)
    return written
