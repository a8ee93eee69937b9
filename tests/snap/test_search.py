"""The SQL function by which names are compared: accents, capitals and kinds of signs are equal."""

import pytest
from django.db import connection

APOSTROPHES = "'`´‘’‛′ʹʻʼʽˈˊˋ՚׳＇｀"
DASHES = "-‐‑‒–—―−⁃˗־᠆﹘﹣－"

pytestmark = pytest.mark.django_db


def folded(text: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT fold_text(%s)", [text])
        (found,) = cursor.fetchone()
    return str(found)


def test_kinds_of_apostrophe_are_equal() -> None:
    for apostrophe in APOSTROPHES:
        assert folded(f"D{apostrophe}Almeida") == "dalmeida", hex(ord(apostrophe))


def test_kinds_of_dash_are_equal() -> None:
    for dash in DASHES:
        assert folded(f"Marie{dash}Claire") == "marie claire", hex(ord(dash))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("JOÃO SÁ", "joao sa"),
        ("Joa\u0303o", "João"),
        ("می\u200cرود", "میرود"),
        ("क्\u200dष", "क्ष"),
        ("Ａｎａ", "ana"),
        ("Łukasz Øst Straße", "lukasz ost strasse"),
        ("İpek", "ipek"),
    ],
)
def test_other_spellings_are_equal(one: str, other: str) -> None:
    assert folded(one) == folded(other)
