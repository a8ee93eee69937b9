"""Code refers to docs/reference.md by the name of a section that exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.reference_tables import PAGE, ROOT

# As in `docs/reference.md, Emergency levels`, perhaps over the end of a line.
MENTION = re.compile(r"docs/reference\.md, (?P<section>[A-Z]\w+(?: [a-z]\w+| API)*)")
# Code refers to this page, not to a text outside of the repository.
ELSEWHERE = re.compile(r"\bspec(?:ification)?,? section\b", re.IGNORECASE)
FOLDERS = ("snap", "promo", "guests", "accounts", "notifications")


def code() -> Iterator[tuple[str, str]]:
    """Yield the path of each file of code, and its text with single spaces only."""
    for folder in FOLDERS:
        for path in Path(ROOT, folder).rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), " ".join(path.read_text().split())


def unknown_sections(text: str, titles: set[str]) -> list[str]:
    return [match["section"] for match in MENTION.finditer(text) if match["section"] not in titles]


def headings() -> set[str]:
    return set(re.findall(r"^##+ (.+)$", PAGE.read_text(), re.MULTILINE))


def test_every_section_that_code_refers_to_exists() -> None:
    titles = headings()
    stale = []
    mentions = 0
    for path, text in code():
        mentions += len(MENTION.findall(text))
        stale += [f"{path}: {section}" for section in unknown_sections(text, titles)]
    assert mentions, "No code refers to docs/reference.md any more."
    assert not stale, f"docs/reference.md has no such section: {'; '.join(stale)}."


def test_code_refers_to_no_text_outside_of_the_repository() -> None:
    outside = [path for path, text in code() if ELSEWHERE.search(text)]
    assert not outside, f"Refer to a section of docs/reference.md in {', '.join(outside)}."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(docs/reference.md, Limits).", []),
        ("docs/reference.md, Emergency levels, level 3", []),
        ("docs/reference.md, JSON API, is the contract", []),
        ("(docs/reference.md, Emergency stages)", ["Emergency stages"]),
        ("docs/reference.md, Limits, and docs/reference.md, Colours", ["Colours"]),
    ],
)
def test_a_section_that_does_not_exist_is_seen(text: str, expected: list[str]) -> None:
    assert unknown_sections(text, headings()) == expected
