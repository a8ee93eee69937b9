"""CONTRIBUTING has a complete folder map, ten questions with answers, and thirty words."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
APPS = ("snap", "promo", "guests", "accounts", "notifications")
# Their names say enough.
STANDARD = {"__init__.py", "admin.py", "apps.py", "forms.py", "tasks.py", "urls.py", "views.py"}
PLACE = re.compile(r"`[\w/]+\.py: [\w.]+`")
MODEL = re.compile(r"`\w+\.models\.\w+`")
MODULE = re.compile(r"`[\w/]+\.py`")


def section(title: str) -> str:
    _, _, after = TEXT.partition(f"\n## {title}\n")
    text, _, _ = after.partition("\n## ")
    return text


def is_in_the_map(path: Path, rows: list[str]) -> bool:
    """Say whether a row names the module, its package with the module, or its whole package."""
    if any(f"`{path}`" in row for row in rows):
        return True
    for row in rows:
        if row.startswith(f"| `{path.parent}/` |"):
            return f"`{path.name}`" in row or ".py`" not in row
    return False


def test_the_folder_map_names_every_module() -> None:
    rows = [line for line in section("Folder map").splitlines() if line.startswith("| `")]
    modules = [path.relative_to(ROOT) for app in APPS for path in (ROOT / app).rglob("*.py")]
    named = [path for path in modules if "migrations" not in path.parts]
    missing = [
        str(path) for path in named if path.name not in STANDARD and not is_in_the_map(path, rows)
    ]
    assert missing == []
    assert not is_in_the_map(Path("promo/api/nothing.py"), rows)
    assert not is_in_the_map(Path("promo/nothing.py"), rows)


def test_ten_questions_have_an_answer_with_file_and_function() -> None:
    questions = re.split(r"\n\d+\. ", section("Ten questions"))[1:]
    assert len(questions) == 10
    for question in questions:
        assert "?*" in question
        assert PLACE.search(question), question


def test_thirty_words_are_explained_and_found_in_the_code() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", section("Glossary"), re.MULTILINE)[1:]
    terms = [term for term, _, _ in rows]
    assert len(terms) >= 30
    assert terms == sorted(terms)
    for term, meaning, where in rows:
        assert meaning, term
        assert PLACE.fullmatch(where) or MODEL.fullmatch(where) or MODULE.fullmatch(where), term
