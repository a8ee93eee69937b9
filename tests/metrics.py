"""Measure how long and how dense the product's code is.

    python -m tests.metrics                             the files on disk
    python -m tests.metrics --rev 5054d46 --rev HEAD    two commits, side by side
    python -m tests.metrics promo guests/claims         some folders or files only
    python -m tests.metrics --worst 20                  the modules and functions to shorten first

Definitions:

- Product code is manage.py and the Python files of PACKAGES, without migrations.
- A line is a physical line: code, comment, docstring or blank. Tools that count lines agree.
- A function is a `def` or `async def`, methods and nested functions included. Its lines run from
  `def` to its last statement; decorators do not count.
- A comprehension is a list, set or dict comprehension or a generator expression.
- A broad except catches everything: `except:`, `except Exception` or `except BaseException`.
- A module is a Python file other than `__init__.py`; it belongs to the package that is its folder.
- The 90th percentile is the smallest value that nine in ten values do not exceed.
"""

import argparse
import ast
import io
import math
import statistics
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.helpers.generated import write_generated

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["snap", "promo", "guests", "accounts", "notifications"]
PRODUCT = ["manage.py", *PACKAGES]
# The commit for which the goal was set, and the last one before the work on names and folders.
BEFORE = ["5054d46", "f4bd6a1"]

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
CATCH_ALL = {"Exception", "BaseException"}

Sources = dict[str, str]
Table = list[list[str]]


@dataclass
class Function:
    name: str
    lines: int


@dataclass
class Module:
    path: str
    lines: int
    functions: list[Function] = field(default_factory=list)
    conditionals: int = 0
    comprehensions: int = 0
    broad_excepts: int = 0

    @property
    def package(self) -> str:
        return str(PurePosixPath(self.path).parent)

    @property
    def is_init(self) -> bool:
        return PurePosixPath(self.path).name == "__init__.py"


# Reading -----------------------------------------------------------------------------------------


def is_measured(path: str, wanted: Sequence[str]) -> bool:
    """Tell whether a path is product code that lies in, or is, one of the wanted paths."""
    parts = PurePosixPath(path).parts
    if not path.endswith(".py") or parts[0] not in PRODUCT or "migrations" in parts:
        return False
    return any(PurePosixPath(path).is_relative_to(place) for place in wanted)


def read_disk(wanted: Sequence[str]) -> Sources:
    """Return the text of each measured file that lies on disk, by path."""
    files = [ROOT / "manage.py"]
    for package in PACKAGES:
        files.extend(sorted((ROOT / package).rglob("*.py")))
    sources: Sources = {}
    for file in files:
        path = file.relative_to(ROOT).as_posix()
        if is_measured(path, wanted):
            sources[path] = file.read_text()
    return sources


def read_revision(revision: str, wanted: Sequence[str]) -> Sources:
    """Return the text of each measured file of a commit, by path."""
    command = ["git", "archive", "--format=tar", revision]
    archive = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    sources: Sources = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and is_measured(member.name, wanted):
                sources[member.name] = content.read().decode()
    return sources


# Counting ----------------------------------------------------------------------------------------


def measure(path: str, source: str) -> Module:
    """Count what one module consists of."""
    module = Module(path, len(source.splitlines()))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FUNCTIONS):
            last_line = node.end_lineno or node.lineno
            module.functions.append(Function(node.name, last_line - node.lineno + 1))
        elif isinstance(node, ast.IfExp):
            module.conditionals += 1
        elif isinstance(node, COMPREHENSIONS):
            module.comprehensions += 1
        elif isinstance(node, ast.ExceptHandler) and is_broad(node):
            module.broad_excepts += 1
    return module


def is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    for node in ast.walk(handler.type):
        if isinstance(node, ast.Name) and node.id in CATCH_ALL:
            return True
    return False


def percentile_90(values: Iterable[int]) -> int:
    ordered = sorted(values)
    return ordered[math.ceil(0.9 * len(ordered)) - 1]


def per_thousand(count: int, lines: int) -> float:
    return 1000 * count / lines


def count_modules(modules: Iterable[Module]) -> Counter[str]:
    """Return how many modules lie in each package."""
    counts: Counter[str] = Counter()
    for module in modules:
        if not module.is_init:
            counts[module.package] += 1
    return counts


# Tables ------------------------------------------------------------------------------------------


def summarize(modules: Sequence[Module]) -> dict[str, str]:
    """Return all figures of one set of modules, by the name they have in the table."""
    lines = sum(module.lines for module in modules)
    conditionals = sum(module.conditionals for module in modules)
    comprehensions = sum(module.comprehensions for module in modules)
    functions: list[int] = []
    for module in modules:
        functions.extend(function.lines for function in module.functions)
    files = [module.lines for module in modules if not module.is_init]
    fullest, most = count_modules(modules).most_common(1)[0]
    return {
        "lines": f"{lines:,}",
        "functions": f"{len(functions):,}",
        "lines a function: median": f"{statistics.median(functions):g}",
        "lines a function: 90th percentile": f"{percentile_90(functions)}",
        "lines a function: longest": f"{max(functions)}",
        "modules": f"{len(files):,}",
        "lines a module: median": f"{statistics.median(files):g}",
        "lines a module: 90th percentile": f"{percentile_90(files)}",
        "lines a module: longest": f"{max(files)}",
        "conditional expressions per 1,000 lines": f"{per_thousand(conditionals, lines):.1f}",
        "comprehensions per 1,000 lines": f"{per_thousand(comprehensions, lines):.1f}",
        "broad excepts": f"{sum(module.broad_excepts for module in modules)}",
        "packages": f"{len(count_modules(modules))}",
        "modules a package: most": f"{most} ({fullest})",
    }


def compare(trees: dict[str, list[Module]]) -> Table:
    """Return a table with a row for each figure and a column for each tree."""
    summaries = [summarize(modules) for modules in trees.values()]
    table = [["", *trees]]
    for name in summaries[0]:
        table.append([name, *[summary[name] for summary in summaries]])
    return table


def compare_packages(trees: dict[str, list[Module]]) -> Table:
    """Return a table with a row for each package and the number of its modules in each tree."""
    counts = [count_modules(modules) for modules in trees.values()]
    packages = sorted(set().union(*counts))
    table = [["package", *trees]]
    for package in packages:
        table.append([package, *[str(count[package] or "") for count in counts]])
    return table


def describe_packages(modules: Sequence[Module]) -> Table:
    """Return a table of where the dense expressions are: packages with the most of them first."""
    table = [["package", "lines", "conditionals", "comprehensions", "both per 1,000 lines"]]
    packages: dict[str, list[Module]] = {}
    for module in modules:
        packages.setdefault(module.package, []).append(module)
    for package, members in sorted(packages.items(), key=lambda item: -count_dense(item[1])):
        lines = sum(module.lines for module in members)
        if lines:
            conditionals = sum(module.conditionals for module in members)
            comprehensions = sum(module.comprehensions for module in members)
            rate = per_thousand(conditionals + comprehensions, lines)
            row = [package, f"{lines:,}", str(conditionals), str(comprehensions), f"{rate:.1f}"]
            table.append(row)
    return table


def count_dense(modules: Iterable[Module]) -> int:
    return sum(module.conditionals + module.comprehensions for module in modules)


def list_dense_modules(modules: Sequence[Module], number: int) -> Table:
    table = [["module", "lines", "conditionals", "comprehensions", "both per 1,000 lines"]]
    for module in sorted(modules, key=lambda module: -count_dense([module]))[:number]:
        rate = per_thousand(count_dense([module]), module.lines or 1)
        counts = [str(module.conditionals), str(module.comprehensions)]
        table.append([module.path, str(module.lines), *counts, f"{rate:.1f}"])
    return table


def list_long_modules(modules: Sequence[Module], number: int) -> Table:
    table = [["module", "lines"]]
    for module in sorted(modules, key=lambda module: -module.lines)[:number]:
        table.append([module.path, str(module.lines)])
    return table


def list_long_functions(modules: Sequence[Module], number: int) -> Table:
    found: list[tuple[int, str, str]] = []
    for module in modules:
        for function in module.functions:
            found.append((function.lines, function.name, module.path))
    table = [["function", "module", "lines"]]
    for lines, name, path in sorted(found, reverse=True)[:number]:
        table.append([name, path, str(lines)])
    return table


def as_markdown(table: Table) -> str:
    """Return the table as Markdown, its columns padded so that it reads well as plain text too."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


# Output ------------------------------------------------------------------------------------------

PAGE = """\
# How long and how dense the code is

`make metrics` writes this page. It measures `manage.py` and the Python files of the five packages,
without migrations. The first lines of `tests/metrics.py` define a line, a function and a
comprehension.

{goal} is the commit for which the goal was set: at most half as many conditional expressions and
comprehensions per 1,000 lines. {before} is the last commit before the work on names, folders and
plain words. Features were added between the two.

{comparison}

`python -m tests.metrics --worst 20` lists the modules and functions to shorten first.

## Modules in each package

{packages_table}
"""


def write_page(path: Path, trees: dict[str, list[Module]]) -> None:
    page = PAGE.format(
        goal=BEFORE[0],
        before=BEFORE[1],
        comparison=as_markdown(compare(trees)),
        packages_table=as_markdown(compare_packages(trees)),
    )
    write_generated(path, page.encode())


def print_worst(modules: Sequence[Module], number: int) -> None:
    for title, table in [
        ("Dense expressions by package", describe_packages(modules)),
        ("Modules with the most dense expressions", list_dense_modules(modules, number)),
        ("Longest modules", list_long_modules(modules, number)),
        ("Longest functions", list_long_functions(modules, number)),
    ]:
        print(f"\n{title}\n\n{as_markdown(table)}")


def read_trees(revisions: Sequence[str], wanted: Sequence[str]) -> dict[str, list[Module]]:
    """Measure each commit, and the files on disk ("now") where no commit is named."""
    trees: dict[str, list[Module]] = {}
    for revision in revisions or ["now"]:
        sources = read_disk(wanted) if revision == "now" else read_revision(revision, wanted)
        if not sources:
            raise SystemExit(f"{revision} has no product code in {' '.join(wanted)}.")
        trees[revision] = [measure(path, source) for path, source in sources.items()]
    return trees


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.metrics")
    parser.add_argument("paths", nargs="*", help="folders or files; everything where left out")
    parser.add_argument("--rev", action="append", default=[], help="a commit, or now: the disk")
    parser.add_argument("--worst", type=int, metavar="N", help="list the N worst of the last tree")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page, do not print")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    wanted = [path.removeprefix("./") for path in arguments.paths] or PRODUCT
    if arguments.write:
        write_page(arguments.write, read_trees([*BEFORE, "now"], wanted))
        return
    trees = read_trees(arguments.rev, wanted)
    print(as_markdown(compare(trees)))
    print(f"\n{as_markdown(compare_packages(trees))}")
    if arguments.worst:
        print_worst(list(trees.values())[-1], arguments.worst)


if __name__ == "__main__":
    main()
