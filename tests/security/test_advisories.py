"""The check for known weaknesses: a package without a result does not count as safe."""

import importlib.util
from types import ModuleType

import pytest

from snap.local.processes import BASE_DIR


@pytest.fixture
def advisories() -> ModuleType:
    spec = importlib.util.spec_from_file_location("advisories", BASE_DIR / ".ci" / "advisories.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "django", "version": "5.2", "vulns": []}
WEAK = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-2020-1"}]}
UNKNOWN = {"name": "altcha", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "expected"),
    [
        ([], 0, "NOT checked"),
        ([UNKNOWN, UNKNOWN], 0, "advisories not reachable, NOT checked"),
        ([CLEAN, UNKNOWN], 0, "NOT checked: altcha"),
        ([CLEAN], 0, "1 packages checked, 0 with"),
        ([CLEAN, WEAK], 1, "pillow 1.0: PYSEC-2020-1"),
    ],
)
def test_only_packages_with_a_result_count_as_checked(
    advisories: ModuleType,
    packages: list[dict[str, object]],
    status: int,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert advisories.report_packages(packages) == status
    printed = capsys.readouterr()
    assert expected in printed.out + printed.err
    assert ("packages checked" in printed.out) == any("vulns" in package for package in packages)
