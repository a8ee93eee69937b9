"""Cleans text that people type and paste, by Unicode category and by what is visible.

All text that enters SNAP passes one of the functions here: forms and admin by `snap.text_fields`,
the API by its serializers. A cleaned text is in composed form (NFC), has no invisible characters,
no control characters and no spaces at its ends, and is "" if nothing of it is visible.
"""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

NOT_TEXT = _("There is a character in this that cannot be shown. Leave it out.")
ONE_LINE = _("Write this on one line.")
LONE_MARK = _("There is an accent in this that belongs to no letter.")

# Characters without ink that have the category of a letter, a mark or a symbol. With the format
# characters (Cf) they are what Unicode calls "default ignorable", the blanks of Hangul, Braille and
# music, and the place of an object that was not pasted.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800\ufffc\U0001d159")
# Format characters that have ink: signs of Arabic, Syriac and Kaithi numbers and verses.
VISIBLE_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
VISIBLE_FORMATS |= frozenset("\U000110bd\U000110cd")
# LEFT-TO-RIGHT OVERRIDE and RIGHT-TO-LEFT OVERRIDE show letters in another order than they have.
OVERRIDES = frozenset("\u202d\u202e")
# What a decoder writes for bytes that it could not read.
REPLACEMENT = "\ufffd"
JOINERS = frozenset("\u200c\u200d")
# Scripts whose letters a joiner joins or separates: from Arabic to Myanmar, from Tagalog to Vedic
# signs, and later additions to both.
JOINING = (
    ("\u0600", "\u10ff"),
    ("\u1700", "\u1cff"),
    ("\ua800", "\uabff"),
    ("\ufb50", "\ufefc"),
    ("\U00010a00", "\U00011fff"),
)
# Signs besides symbols that are emoji with a variation selector behind them.
EMOJI_SIGNS = "‼⁉〰ℹ"
KEYS = "#*0123456789"
KEYCAP = "\u20e3"
# The base of a flag of a region, which its tag characters spell.
FLAG = "\U0001f3f4"
# The most marks on one letter. Written languages need at most four or five.
MAX_MARKS = 6
# The first character that is a mark. All before it are composed.
FIRST_MARK = "\u0300"

SPACES = re.compile(r"[^\S\n]+")
LINE_ENDS = re.compile("\r\n|[\r\n\v\f\x85\u2028\u2029]")
MANY_LINES = re.compile(r"\n{3,}")


def clean_line(text: str) -> str:
    """Return one line of text with single spaces. Raises ValidationError.

    Line breaks at its ends are removed, as pasted with it. A line break inside is refused.
    """
    if text.isprintable() and max(text, default="") < FIRST_MARK:
        # Most texts. They are composed, and nothing in them is invisible.
        return " ".join(text.split())
    cleaned = _clean(text)
    if "\n" in cleaned:
        raise ValidationError(ONE_LINE, code="line_break")
    return cleaned


def clean_lines(text: str) -> str:
    r"""Return text of several lines, which end with `\n`. Raises ValidationError.

    Between paragraphs there is one empty line at most.
    """
    lines = _clean(text).split("\n")
    joined = "\n".join(line.strip() for line in lines)
    return MANY_LINES.sub("\n\n", joined)


def clean_search(text: str) -> str:
    """Return the text that a search looks for. Characters that no text has become spaces."""
    usable = "".join(" " if _is_refused(character) else character for character in text)
    visible = remove_invisible(unicodedata.normalize("NFC", usable))
    return " ".join(visible.split())


def remove_invisible(text: str) -> str:
    """Return a text without its characters that have no ink.

    Joiners stay between letters that they join or separate, and variation selectors behind symbols.
    """
    if text.isascii():
        return text
    kept: list[str] = []
    for position, character in enumerate(text):
        if not _is_invisible(character) or _is_needed(
            character, kept, text[position + 1 : position + 2]
        ):
            kept.append(character)
    return "".join(kept)


def without_invisible(text: str) -> str:
    """Return a text without all its invisible characters, joiners between letters too."""
    return "".join(character for character in text if not _is_invisible(character))


def _clean(text: str) -> str:
    text = LINE_ENDS.sub("\n", text)
    composed = unicodedata.normalize("NFC", _strip(text))
    for character in composed:
        if _is_refused(character) or character in OVERRIDES:
            raise ValidationError(NOT_TEXT, code="not_text")
    visible = SPACES.sub(" ", remove_invisible(composed)).strip()
    _check_marks(visible)
    return visible


def _strip(text: str) -> str:
    """Return a text without spaces and invisible characters at its ends."""
    start, end = 0, len(text)
    while start < end and _is_margin(text[start]):
        start += 1
    while end > start and _is_margin(text[end - 1]) and not _is_attached(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_margin(character: str) -> bool:
    return (
        character in "\t\n" or unicodedata.category(character) == "Zs" or _is_invisible(character)
    )


def _check_marks(text: str) -> None:
    """Refuse an accent without a letter below it, and a pile of accents."""
    marks, previous = 0, " "
    for character in text:
        if not unicodedata.category(character).startswith("M") or _is_selector(character):
            marks, previous = 0, character
            continue
        marks += 1
        if previous.isspace() or marks > MAX_MARKS:
            raise ValidationError(LONE_MARK, code="lone_mark")


def _is_refused(character: str) -> bool:
    """Return whether no text has this character: it is a control, or has no meaning of its own.

    Unassigned characters in the blocks of pictographs are emoji of a later version of Unicode.
    """
    category = unicodedata.category(character)
    if category == "Cc":
        return character not in "\t\n"
    if category == "Cn":
        is_pictograph = "\U0001f000" <= character <= "\U0001fafd"
        return not is_pictograph
    return category in {"Co", "Cs"} or character == REPLACEMENT


def _is_invisible(character: str) -> bool:
    if character in BLANKS or _is_selector(character):
        return True
    return unicodedata.category(character) == "Cf" and character not in VISIBLE_FORMATS


def _is_attached(character: str) -> bool:
    """Return whether a character may belong to the one before it."""
    return _is_selector(character) or _is_tag(character)


def _is_tag(character: str) -> bool:
    return "\U000e0020" <= character <= "\U000e007f"


def _is_selector(character: str) -> bool:
    """Return whether a character selects a variation of the one before it."""
    if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
        return True
    return character in "\u180b\u180c\u180d\u180f"


def _is_needed(character: str, before: list[str], after: str) -> bool:
    """Return whether an invisible character changes how its neighbours look."""
    if not before:
        return False
    if character in JOINERS:
        return _is_joined(before[-1]) and _is_joined(after)
    if _is_selector(character):
        return _has_variations(before[-1], after)
    if _is_tag(character):
        return before[-1] == FLAG or _is_tag(before[-1])
    return False


def _is_joined(character: str) -> bool:
    """Return whether a joiner beside this character has an effect."""
    if not character:
        return False
    if _is_selector(character) or unicodedata.category(character).startswith("S"):
        return True
    in_script = any(first <= character <= last for first, last in JOINING)
    return in_script and unicodedata.category(character)[0] in "LM"


def _has_variations(character: str, following: str) -> bool:
    """Return whether a variation selector behind this character has an effect."""
    if character in KEYS:
        return following == KEYCAP
    if character in EMOJI_SIGNS or unicodedata.category(character).startswith("S"):
        return True
    is_ideograph = unicodedata.name(character, "").startswith("CJK")
    is_mongolian = "\u1800" <= character <= "\u18af"
    return is_ideograph or is_mongolian
