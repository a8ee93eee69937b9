"""docs/security.md names tests that exist, and requirements in the form of ASVS 5.0.0."""

import ast
import re

from snap.local.processes import BASE_DIR

TEXT = (BASE_DIR / "docs" / "security.md").read_text()
NAMED = re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", TEXT)


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 40
    for path, name in NAMED:
        tree = ast.parse((BASE_DIR / path).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{path}::{name}"


def test_every_threat_has_a_requirement_and_a_test() -> None:
    threats = TEXT.partition("\n## ")[0]
    rows = [line for line in threats.splitlines() if line.startswith("| ") and "**" not in line]
    assert len(rows) > 40
    for row in rows[1:]:
        threat, defence, requirements, tests = (cell.strip() for cell in row.strip("|").split("|"))
        assert threat
        assert defence
        assert re.fullmatch(r"v5\.0\.0-\d+\.\d+\.\d+(, v5\.0\.0-\d+\.\d+\.\d+)*", requirements), row
        assert "::test_" in tests, row
