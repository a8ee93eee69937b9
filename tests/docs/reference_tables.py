"""Reads the tables of docs/reference.md, and says where they and the code differ."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference.md"

# A row of a table, by the name of its column.
Row = dict[str, str]

HEADING = re.compile(r"#{2,} (?P<title>.+)")
CODE = re.compile(r"`([^`]+)`")


class Table:
    """A table of the page: its columns, its rows, and the heading above it."""

    def __init__(self, section: str, columns: list[str]) -> None:
        self.section = section
        self.columns = columns
        self.rows: list[Row] = []

    def codes(self, column: str) -> list[str]:
        """Return what stands in backticks in a column, row by row."""
        return [code for row in self.rows for code in codes_in(row[column])]


@cache
def tables() -> list[Table]:
    return parse(PAGE.read_text())


def parse(text: str) -> list[Table]:
    """Return the tables of a Markdown text. Raises ValueError for a row of another width."""
    found: list[Table] = []
    section, current = "", None
    for line in text.splitlines():
        if heading := HEADING.fullmatch(line):
            section = heading["title"]
        if not line.startswith("|"):
            current = None
        elif current is None:
            current = Table(section, cells_of(line))
            found.append(current)
        elif set(line) != set("|-"):
            current.rows.append(dict(zip(current.columns, cells_of(line), strict=True)))
    return found


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def codes_in(cell: str) -> list[str]:
    return CODE.findall(cell)


def tables_with(*columns: str) -> list[Table]:
    """Return the tables that have all of these columns. Raises LookupError without one."""
    found = [table for table in tables() if set(columns) <= set(table.columns)]
    if not found:
        raise LookupError(f"docs/reference.md has no table with the columns {', '.join(columns)}.")
    return found


def table_of(section: str, column: str) -> Table:
    """Return the first table under a heading that has a column. Raises LookupError."""
    for table in tables():
        if table.section == section and column in table.columns:
            return table
    raise LookupError(f'docs/reference.md has no table under "{section}" with a column "{column}".')


def assert_same(what: str, documented: Iterable[object], in_code: Iterable[object]) -> None:
    """Fail with a sentence for each direction in which docs/reference.md and the code differ."""
    documented, in_code = list(documented), list(in_code)
    twice = {each for each in documented if documented.count(each) > 1}
    missing = [each for each in in_code if each not in documented]
    extra = [each for each in documented if each not in in_code]
    complaints = []
    if missing:
        complaints.append(f"does not have these that the code has: {listed(missing)}")
    if extra:
        complaints.append(f"has these that the code does not have: {listed(extra)}")
    if twice:
        complaints.append(f"names these more than once: {listed(twice)}")
    assert not complaints, f"docs/reference.md, {what}: it " + "; it ".join(complaints) + "."


def listed(things: Iterable[object]) -> str:
    return ", ".join(sorted(str(thing) for thing in things))
