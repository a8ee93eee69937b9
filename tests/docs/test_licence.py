"""The licence: its text, its metadata, and the licences of what is kept under static/vendor."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_metadata_names_the_licence_that_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT"
    assert project["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("MIT License\n")
    assert project["authors"][0]["name"] in text


def test_each_package_under_vendor_has_its_licence_beside_it() -> None:
    packages = [path for path in (ROOT / "static" / "vendor").iterdir() if path.is_dir()]
    assert packages
    without = [package.name for package in packages if not (package / "LICENSE").is_file()]
    assert not without, f"Put the licence of {', '.join(without)} beside its files."
