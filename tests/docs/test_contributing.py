"""CONTRIBUTING answers ten questions with a file and a function, and explains thirty words."""

import re
from pathlib import Path

TEXT = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text()
PLACE = re.compile(r"`[\w/]+\.py: [\w.]+`")
MODEL = re.compile(r"`\w+\.models\.\w+`")
MODULE = re.compile(r"`[\w/]+\.py`")


def section(title: str) -> str:
    _, _, after = TEXT.partition(f"\n## {title}\n")
    text, _, _ = after.partition("\n## ")
    return text


def test_ten_questions_have_an_answer_with_file_and_function() -> None:
    questions = re.split(r"\n\d+\. ", section("Ten questions"))[1:]
    assert len(questions) == 10
    for question in questions:
        assert "?*" in question
        assert PLACE.search(question), question


def test_thirty_words_are_explained_and_found_in_the_code() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", section("Glossary"), re.MULTILINE)[1:]
    terms = [term for term, _, _ in rows]
    assert len(terms) == 30
    assert terms == sorted(terms)
    for term, meaning, where in rows:
        assert meaning, term
        assert PLACE.fullmatch(where) or MODEL.fullmatch(where) or MODULE.fullmatch(where), term
