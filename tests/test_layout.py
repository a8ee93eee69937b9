"""Where tests and their helpers are: in the folders of the code, in short files, apart."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
APPS = ("snap", "promo", "guests", "accounts", "notifications")
# Folders without a counterpart in the code. `management` has commands of the test settings.
BESIDE = {
    "bench",
    "browser",
    "deploy",
    "docs",
    "faults",
    "grafana",
    "helpers",
    "load",
    "night",
    "management",
    "security",
}
MAX_LINES = 400
FILES = sorted(TESTS.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_test_file(module: str) -> bool:
    """Say whether a dotted name is of a test file or a conftest."""
    return any(part.startswith("test_") or part == "conftest" for part in module.split("."))


def imported_test_files(source: str) -> list[str]:
    """Return the test files that a module imports, or names in a text such as a setting."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        found += [name for name in names if name.startswith("tests.") and is_test_file(name)]
    return found


def has_counterpart(folder: Path) -> bool:
    """Say whether a folder of tests is one of those beside the code, or mirrors a package."""
    path = folder.relative_to(TESTS)
    return path.parts[0] in BESIDE or (path.parts[0] in APPS and (ROOT / path).is_dir())


def test_no_test_file_is_imported() -> None:
    """A function of several test files belongs into tests/helpers."""
    wrong = {}
    for path in FILES:
        imported = imported_test_files(path.read_text())
        if imported:
            wrong[name_of(path)] = imported
    assert wrong == {}


def test_every_file_has_at_most_400_lines() -> None:
    """A longer file becomes several, by what they test."""
    wrong = {}
    for path in FILES:
        lines = len(path.read_text().splitlines())
        if lines > MAX_LINES:
            wrong[name_of(path)] = lines
    assert wrong == {}


def test_every_folder_of_tests_mirrors_the_code() -> None:
    folders = {path.parent for path in FILES if path.parent != TESTS}
    assert [name_of(each) for each in sorted(folders) if not has_counterpart(each)] == []


def test_every_way_to_import_a_test_file_is_found() -> None:
    for source in (
        "from tests.guests.test_admin import at",
        "from tests.guests import test_admin",
        "from tests.faults.conftest import Form",
        "import tests.guests.test_admin",
        "SMS_BACKEND = 'tests.accounts.test_sms.sent'",
    ):
        assert imported_test_files(source), source
    assert imported_test_files("from tests.helpers.visitors import Visitor") == []


def test_a_folder_without_a_package_is_found() -> None:
    assert has_counterpart(TESTS / "promo" / "limits")
    assert has_counterpart(TESTS / "browser")
    assert not has_counterpart(TESTS / "promo" / "nothing")
    assert not has_counterpart(TESTS / "misc")
