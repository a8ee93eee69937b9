"""Names of people."""

import pytest
from django.core.exceptions import ValidationError

from accounts.names import clean_name


@pytest.mark.parametrize(
    "name",
    [
        "D´Almeida",
        "O`Neill",
        "O’Neill",
        "‘Alī",
        "'t Hart",
        "Marie–Claire",
        "Jean\u2011Luc",
        "Anne\u2212Marie",
        "King, Jr.",
        "María José (Pepa)",
        'Ana "Nita" Sá',
        "Nguyễn",
        "محمد",
        "می\u200cترا",
        "प्रिया",
        "क्\u200dष",
        "สมชาย",
        "כהן־לוי",
        "ג׳ורג׳",
        "Ó Súilleabháin",
        "Xₓ",
        "ǃXóõ",
        "李雷",
        "葛\U000e0100城",
        "Ⅲ. Ana",
        "J.R.R. Tolkien",
        "J.Silva",
        "D.ª Maria",
        "Mª José",
        "Juan Carlos III",
        "Henrique 2",
        "Karl S:son",
        "Rajan s/o Muthu",
        "Tan Ah Kow @ Tan Kow",
        "Ana & Rui",
        "X",
    ],
)
def test_names_are_kept_as_they_are_written(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("ana@example.com", "is_email"),
        ("＠ana", "is_email"),
        ("evil.co", "is_web_address"),
        ("evil．co", "is_web_address"),
        ("𝐞𝐯𝐢𝐥.𝐜𝐨", "is_web_address"),
        ("evil。co", "is_web_address"),
        ("Win www.evil.example", "is_web_address"),
        ("http://evil", "is_web_address"),
        ("bit.ly/x", "is_web_address"),
        ("x.com", "is_web_address"),
        ("злой.рф", "is_web_address"),
        ("912 345 678", "is_number"),
        ("Ana 912345678", "is_number"),
        ("٩١٢٣٤٥", "is_number"),
        ("7", "is_number"),
        ("🎉", "has_emoji"),
        ("Inês 🎉", "has_emoji"),
        ("Inês ❤️", "has_emoji"),
        ("1️⃣", "has_emoji"),
        ("\U0001fae8 Ana", "has_emoji"),
        ("=1+1", "has_signs"),
        ("<b>Ana</b>", "has_signs"),
        ("Ana_Sá", "has_signs"),
        ("Ana%00", "has_signs"),
        ("＜Ana＞", "has_signs"),
        ("...", "no_letters"),
        ("’", "no_letters"),
        ("Ana\nRui\nEva", "line_break"),
        ("Ana\x1b", "not_text"),
        ("Ana\u202eanA", "not_text"),
        ("Ana\ue000", "not_text"),
        ("\u0301a", "lone_mark"),
    ],
)
def test_what_is_no_name_is_refused_with_its_reason(typed: str, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        clean_name(typed)
    assert refused.value.code == code
    assert len(refused.value.messages[0]) > 10


def test_nothing_visible_is_no_name() -> None:
    for typed in ("", "  ", "\u200b\u200b", "\u3164", "\u2800", "\u202e"):
        assert clean_name(typed) == ""
