"""Compile the translations: write the django.mo beside each django.po.

python -m tests.catalogues
"""

from pathlib import Path

import polib  # type: ignore[import-untyped]

from tests.helpers.generated import write_generated

ROOT = Path(__file__).resolve().parent.parent
APPS = ("snap", "promo", "guests", "accounts", "notifications")


def catalogues() -> list[Path]:
    """Return the path of each app's django.po, sorted. An app without texts has none."""
    found: list[Path] = []
    for app in APPS:
        found.extend((ROOT / app).glob("locale/*/*/django.po"))
    return sorted(found)


def compile_catalogue(path: Path) -> None:
    write_generated(path.with_suffix(".mo"), polib.pofile(str(path)).to_binary())


if __name__ == "__main__":
    for catalogue in catalogues():
        compile_catalogue(catalogue)
