"""The decision records have one form and numbers without a gap, and the index lists all."""

import re
from datetime import date
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
FORM = re.compile(
    r"# (?P<number>\d{4})\. (?P<title>[A-Z][^\n]+)\n"
    r"\n"
    r"- Date: (?P<date>\d{4}-\d{2}-\d{2})\n"
    r"- Status: (?P<status>Accepted|Superseded by \d{4})\b[^\n]*\n"
    r"\n"
    r"## Context\n\n(?P<context>.+?)\n"
    r"## Decision\n\n(?P<decision>.+?)\n"
    r"## Consequences\n\n(?P<consequences>.+)",
    re.DOTALL,
)
HEADINGS = ["## Context", "## Decision", "## Consequences"]
INDEX_ROW = re.compile(r"\| (\d{4}) \| \[(.+?)\]\((.+?)\) \| (\d{4}-\d{2}-\d{2}) \|")


def fields_of(text: str) -> dict[str, str]:
    match = FORM.fullmatch(text)
    assert match is not None, "title, date, status, context, decision, consequences, in this order"
    return match.groupdict()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_every_field_in_order(path: Path) -> None:
    text = path.read_text()
    fields = fields_of(text)
    assert path.name.startswith(f"{fields['number']}-")
    assert date.fromisoformat(fields["date"])
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == HEADINGS


def test_a_record_without_a_field_is_found() -> None:
    text = RECORDS[0].read_text()
    without_status = re.sub(r"- Status: .*\n", "", text)
    with pytest.raises(AssertionError, match="status"):
        fields_of(without_status)


def test_the_numbers_have_no_gap() -> None:
    numbers = [int(path.name[:4]) for path in RECORDS]
    assert numbers == list(range(1, len(RECORDS) + 1))


def test_the_index_lists_every_record() -> None:
    expected = []
    for path in RECORDS:
        fields = fields_of(path.read_text())
        expected.append((fields["number"], fields["title"], path.name, fields["date"]))
    assert INDEX_ROW.findall((FOLDER / "README.md").read_text()) == expected
