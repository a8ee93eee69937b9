"""The comparison of docs/reference.md with the code sees a difference in either direction."""

import pytest

from tests.docs.reference_tables import assert_same, parse, table_of, tables_with

PAGE = """\
# Page

## Colours

| Colour | Means |
|---|---|
| `red` | stop |
| `green`, `lime` | go |

Between two tables.

| Sign | Means |
|---|---|
| `x` | end |

### Shapes

| Shape |
|---|
| `round` |
"""


def test_it_reads_tables_by_heading_and_column() -> None:
    colours, signs, shapes = parse(PAGE)
    assert (colours.section, signs.section, shapes.section) == ("Colours", "Colours", "Shapes")
    assert colours.columns == ["Colour", "Means"]
    assert colours.rows[0] == {"Colour": "`red`", "Means": "stop"}
    assert colours.codes("Colour") == ["red", "green", "lime"]
    assert shapes.codes("Shape") == ["round"]


def test_a_row_has_as_many_cells_as_its_table() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        parse(PAGE + "| `square` | no such column |\n")


@pytest.mark.parametrize(
    ("documented", "in_code", "complaint"),
    [
        ("ab", "abc", "Letters: it does not have these that the code has: c."),
        ("abc", "ab", "Letters: it has these that the code does not have: c."),
        ("abb", "ab", "Letters: it names these more than once: b."),
        ("bb", "ac", "has: a, c; it has these that the code does not have: b, b; it names"),
    ],
)
def test_a_difference_is_named(documented: str, in_code: str, complaint: str) -> None:
    assert_same("Letters", "abc", "cab")
    with pytest.raises(AssertionError) as failure:
        assert_same("Letters", documented, in_code)
    assert complaint in str(failure.value)


def test_a_table_that_was_renamed_is_missed() -> None:
    with pytest.raises(LookupError, match="no table with the columns Setting, Colour"):
        tables_with("Setting", "Colour")
    with pytest.raises(LookupError, match='no table under "Colours" with a column "Colour"'):
        table_of("Colours", "Colour")
