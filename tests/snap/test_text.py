"""The cleaner of all text."""

import pytest
from django.core.exceptions import ValidationError

from snap.text import (
    clean_line,
    clean_lines,
    clean_search,
    remove_invisible,
)


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        ("  Festa \t do\u00a0\u2009Rio  ", "Festa do Rio"),
        ("Ine\u0302s", "Inês"),
        ("\u200eFesta\u200f", "Festa"),
        ("Fes\u200bta\u00ad\u2060", "Festa"),
        ("\u202dFesta\u202c", "Festa"),
        ("\u2066Festa\u2069 ", "Festa"),
        ("\nFesta\r\n", "Festa"),
        ("\ufeffFesta", "Festa"),
        ("Festa\ufe0f", "Festa"),
        ("Fes\ufffcta", "Festa"),
        ("Fes\U000e0061ta", "Festa"),
        ("Ana\u200dB", "AnaB"),
        ("", ""),
        ("\u200b\u200b", ""),
        (" \u3164 ", ""),
        ("\u2800\u115f\u1160\uffa0\u034f\u17b5\u180e", ""),
        ("\U000e0020\U000e007f\ufe0f", ""),
        ("\u202e\u2066", ""),
    ],
)
def test_invisible_characters_are_removed(typed: str, cleaned: str) -> None:
    assert clean_line(typed) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",
        "क्\u200dष",
        "ශ්\u200dරී",
        "❤️ Festa",
        "👩\u200d🎤",
        "👩🏽\u200d❤️\u200d👨🏻",
        "1️⃣ de maio",
        "葛\U000e0100城",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\U0001fae8",  # An emoji that Python 3.11 does not know.
        "שָׁלוֹם",
        "Nguyễn",
        "ก็",
    ],
)
def test_characters_that_change_what_is_seen_are_kept(text: str) -> None:
    assert clean_line(text) == text
    assert clean_lines(text) == text


@pytest.mark.parametrize(
    "typed",
    [
        "a\0b",
        "a\x1bb",
        "a\x7fb",
        "a\x9fb",
        "a\ud800b",
        "\udc00",
        "a\ue000b",
        "a\U0010fffdb",
        "a\ufdd0b",
        "a\uffffb",
        "a\u0378b",
        "a\u202eb",
        "a\u202db",
        "x\ufffd",
        "\u0301a",
        "a \u0301b",
        "a" + "\u0301" * 9,
    ],
)
def test_characters_that_are_no_text_are_refused(typed: str) -> None:
    for clean in (clean_line, clean_lines):
        with pytest.raises(ValidationError):
            clean(typed)
    assert "\0" not in clean_search(typed)
    clean_search(typed).encode()


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_one_line_has_no_line_ends_inside(end: str) -> None:
    with pytest.raises(ValidationError) as refused:
        clean_line(f"Ana{end}Rui")
    assert refused.value.code == "line_break"
    assert clean_lines(f" Ana {end} Rui{end}") == "Ana\nRui"
    assert clean_search(f"Ana{end}Rui") == "Ana Rui"


def test_several_lines_keep_their_paragraphs() -> None:
    assert clean_lines("Um\r\n\r\n\r\n\r\nDois\n  Três  ") == "Um\n\nDois\nTrês"


def test_a_long_text_is_cleaned_in_one_pass() -> None:
    """Neither pass looks at the rest of the text for each character."""
    assert remove_invisible("á\u200d" * 20_000) == "á" * 20_000
