"""Names of people: what is a name, in any script, and what is not."""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from snap.text import clean_line
from snap.text_fields import Get, LineField, Set

MAX_NAME_LENGTH = 60
# First and last name, with the space between them.
MAX_FULL_NAME_LENGTH = 2 * MAX_NAME_LENGTH + 1
# A name with more digits than this contains a number, as of a phone.
MAX_DIGITS = 4

IS_EMAIL = _("This is an email address. Write a name.")
IS_WEB_ADDRESS = _("This looks like a web address. If it is a name, write a space after the dot.")
IS_NUMBER = _("There is a number in this. Write a name.")
HAS_EMOJI = _("Leave the emoji out, please.")
HAS_SIGNS = _("Leave “%(sign)s” out, please.")
NO_LETTERS = _("Write a name with letters.")

# Unicode categories of the characters in names: letters, marks, numbers, dashes, brackets, quotes,
# punctuation, accents that stand alone (as ´ and `), spaces. Format characters are joiners.
CATEGORIES = frozenset(["L", "M", "N", "P", "Sk", "Zs", "Cf"])
# Punctuation of addresses, of code and of shouting. Dots, commas, quotes, colons and slashes are in
# names: King, Jr.; Karl S:son; Rajan s/o Muthu.
NOT_IN_NAMES = frozenset("#%*;\\_!?¡¿{}[]")
MINUS = "\u2212"
EMOJI_BLOCKS = "\U0001f000"

EMAIL = re.compile(r"\S@|@\S")
# Two labels with a dot, as in `evil.co`. One letter before the dot is an initial, as in `J.Silva`,
# unless what follows is an ending that has addresses of one letter.
WEB_ADDRESS = re.compile(
    r"://|\bwww\.|[^\W_][\w-]*[^\W_]\.[^\W\d_]{2,}|\b\w\.(?:com|co|me|net|org|io)\b",
    re.IGNORECASE,
)
DOTS = re.compile("[．｡。]")


def clean_name(typed: str) -> str:
    """Return a name as people write it, on one line. Raises ValidationError.

    A name is refused when it is an address, a number or emoji, because names go into emails.
    """
    name = clean_line(typed)
    has_only_letters = name.replace(" ", "").isalpha()
    if name and not has_only_letters:
        _check(name)
    return name


def _check(name: str) -> None:
    plain = _without_marks(unicodedata.normalize("NFKC", DOTS.sub(".", name)))
    if EMAIL.search(plain):
        raise ValidationError(IS_EMAIL, code="is_email")
    if WEB_ADDRESS.search(plain):
        raise ValidationError(IS_WEB_ADDRESS, code="is_web_address")
    for character in name:
        _check_character(character)
    letters = [character for character in name if character.isalpha()]
    digits = [character for character in name if character.isdigit()]
    if len(digits) > MAX_DIGITS or (digits and not letters):
        raise ValidationError(IS_NUMBER, code="is_number")
    if not letters:
        raise ValidationError(NO_LETTERS, code="no_letters")


def _without_marks(text: str) -> str:
    """Return a text without its marks, which regular expressions take for the end of a word."""
    return "".join(c for c in text if not unicodedata.category(c).startswith("M"))


def _check_character(character: str) -> None:
    category = unicodedata.category(character)
    is_emoji = category in {"So", "Cn", "Me"} or (category == "Sk" and character >= EMOJI_BLOCKS)
    if is_emoji:
        raise ValidationError(HAS_EMOJI, code="has_emoji")
    is_of_names = category in CATEGORIES or category[0] in CATEGORIES or character == MINUS
    plain = unicodedata.normalize("NFKC", character)
    if not is_of_names or category == "Pc" or NOT_IN_NAMES.intersection(plain):
        raise ValidationError(HAS_SIGNS, code="has_signs", params={"sign": character})


class NameField(LineField[Set, Get]):
    """A column of a person's name."""

    @staticmethod
    def cleaner(text: str) -> str:
        return clean_name(text)
