"""The counting is tried on sources whose figures are known."""

from pathlib import Path

import pytest

from tests import metrics

SOURCE = '''\
"""A module."""

from functools import cache


@cache
def double(number):
    """Return twice the number."""

    # A comment and a blank line count, the decorator does not.
    return number * 2


class Shelf:
    async def books(self):
        def titles():
            return [book.title for book in self.all if book.title]

        return titles() if self.all else {title: 1 for title in ()}

    def total(self):
        try:
            return sum(book.price for book in {book for book in self.all})
        except ValueError:
            return 0
        except (KeyError, Exception):
            return 1
        except:
            return 2
'''


def test_it_counts_what_a_module_consists_of() -> None:
    module = metrics.measure("shop/books.py", SOURCE)
    assert module.lines == 29
    lines = {function.name: function.lines for function in module.functions}
    assert lines == {"double": 5, "books": 5, "titles": 2, "total": 9}
    # An `if` that filters a comprehension is no conditional expression.
    assert module.conditionals == 1
    assert module.comprehensions == 4
    assert module.broad_excepts == 2


def test_it_summarizes_modules() -> None:
    modules = [
        metrics.measure("shop/books.py", SOURCE),
        metrics.measure("shop/__init__.py", ""),
        metrics.measure("shop/till/coins.py", "def count(): return 1 if coins else 0\n" * 10),
    ]
    figures = metrics.summarize(modules)
    assert figures["lines"] == "39"
    assert figures["functions"] == "14"
    assert figures["lines a function: median"] == "1"
    assert figures["lines a function: 90th percentile"] == "5"
    assert figures["lines a function: longest"] == "9"
    assert figures["modules"] == "2"
    assert figures["lines a module: median"] == "19.5"
    assert figures["conditional expressions per 1,000 lines"] == "282.1"
    assert figures["comprehensions per 1,000 lines"] == "102.6"
    assert figures["packages"] == "2"
    assert figures["modules a package: most"] == "1 (shop)"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7], 7),
        (range(1, 11), 9),
        (range(1, 12), 10),
        ([1] * 9 + [50], 1),
        ([1] * 8 + [50, 60], 50),
    ],
)
def test_nine_in_ten_values_are_within_the_90th_percentile(
    values: list[int], expected: int
) -> None:
    assert metrics.percentile_90(values) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("manage.py", True),
        ("guests/claims/services.py", True),
        ("guests/migrations/0001_initial.py", False),
        ("guests/locale/pt_PT/LC_MESSAGES/django.po", False),
        ("tests/metrics.py", False),
    ],
)
def test_it_measures_the_product(path: str, expected: bool) -> None:
    assert metrics.is_measured(path, metrics.PRODUCT) is expected


def test_it_measures_the_wanted_part_of_the_product() -> None:
    assert metrics.is_measured("guests/claims/services.py", ["guests/claims"])
    assert not metrics.is_measured("guests/claims_of_others.py", ["guests/claims"])


def test_it_reads_the_files_on_disk() -> None:
    sources = metrics.read_disk(["manage.py", "snap"])
    assert sources["manage.py"] == (metrics.ROOT / "manage.py").read_text()
    assert "snap/settings.py" in sources
    assert not any(path.startswith("guests/") for path in sources)


def test_it_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = {
        "before": [metrics.measure("shop/books.py", SOURCE)],
        "now": [metrics.measure("shop/till/coins.py", "def count(): pass\n")],
    }
    page = tmp_path / "metrics.md"
    metrics.write_page(page, trees)
    assert capsys.readouterr().out.endswith("metrics.md is written.\n")
    rows = page.read_text().splitlines()
    assert "| lines a function: longest               | 9        | 1             |" in rows
    assert "| shop      | 1      |     |" in rows
    assert "| shop/till |        | 1   |" in rows
    metrics.write_page(page, trees)
    assert capsys.readouterr().out.endswith("metrics.md is unchanged.\n")
