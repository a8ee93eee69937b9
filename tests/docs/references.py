"""Finds what documentation names and the repository does not have.

Only code spans, links and names of settings are read. A code span is checked when its form says
what it names; other spans, such as values and markup, are left alone.
"""

import ast
import builtins
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.apps import apps
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
APPS = ("snap", "promo", "guests", "accounts", "notifications")
FOLDERS = (*APPS, "deploy", "tests", "templates", "static", "docs", ".ci", ".github")

FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

PATH = re.compile(r"(?P<path>[\w.*/-]+)(?:(?:: |::)(?P<name>[\w.]+))?")
MODULE_FILE = re.compile(r"\w+\.py")
DOTTED = re.compile(rf"(?:{'|'.join(APPS)})(?:\.\w+)+")
PERMISSION = re.compile(r"(\w+)\.(?:add|change|delete|view)_(\w+)")
TEST = re.compile(r"test_\w+")
MAKE = re.compile(r"make ([a-z]+)")
COMMAND = re.compile(r"(?:\S*python )?manage\.py (\w+)")
# `a_function`, `SomeClass`, `some_call()` or `SomeClass.attribute`; not `a` nor `Retry`.
NAME = re.compile(r"(?:[A-Za-z]\w*\.)*(?:[a-z]\w*_\w+|[A-Z][a-z]+[A-Z]\w*|\w+(?=\(\)$))(?:\(\))?")
SETTING = re.compile(r"(?<![\w/])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w/])")


def stale_references(text: str, folder: Path = ROOT) -> list[str]:
    """Return a sentence for each thing that a Markdown text names and that does not exist.

    `folder` is where relative links begin.
    """
    prose = FENCED.sub("", text)
    problems: list[str] = []
    for span in SPAN.findall(prose):
        problems += problems_of_span(" ".join(span.split()))
    for target in LINK.findall(prose):
        problems += problems_of_link(target, text, folder)
    for name in sorted(set(SETTING.findall(prose))):
        if name not in words_of_code():
            problems.append(f"No code has the setting or constant {name}.")
    return problems


def problems_of_span(span: str) -> Iterator[str]:
    wildcards = re.sub(r"<\w+>", "*", span)
    if (match := PATH.fullmatch(wildcards)) and is_path(match["path"]):
        yield from problems_of_path(match["path"], match["name"])
    elif MODULE_FILE.fullmatch(span):
        if span not in {path.name for path in code_files()}:
            yield f"No file is named {span}."
    elif match := MAKE.match(span):
        if f"\n{match[1]}:" not in (ROOT / "Makefile").read_text():
            yield f"The Makefile has no target {match[1]}."
    elif match := COMMAND.fullmatch(span):
        if match[1] not in get_commands():
            yield f"There is no command {match[1]}."
    elif DOTTED.fullmatch(span):
        yield from problems_of_dotted_name(span)
    elif TEST.fullmatch(span):
        if span not in names_of_tests():
            yield f"No test is named {span}."
    elif NAME.fullmatch(span):
        last = span.removesuffix("()").rpartition(".")[2]
        # Prometheus adds this to the names of counters.
        last = last.removesuffix("_total")
        if last not in words_of_code() and not hasattr(builtins, last):
            yield f"No code has the name {span}."


def is_path(text: str) -> bool:
    first, slash, _ = text.partition("/")
    return first in FOLDERS if slash else (ROOT / text).is_file()


def problems_of_path(path: str, name: str | None) -> Iterator[str]:
    found = list(ROOT.glob(path.rstrip("/")))
    if not found:
        yield f"{path} does not exist."
    elif name and name not in names_in(found[0]):
        yield f"{path} does not define {name}."


def problems_of_dotted_name(name: str) -> Iterator[str]:
    if permission := PERMISSION.fullmatch(name):
        if permission[2] not in apps.all_models[permission[1]]:
            yield f"There is no model for the permission {name}."
        return
    parts = name.split(".")
    path = ROOT
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if parts and (path / f"{parts[0]}.py").is_file():
        path /= f"{parts.pop(0)}.py"
    else:
        path /= "__init__.py"
    if not path.is_file() or (parts and ".".join(parts) not in names_in(path)):
        yield f"{name} does not exist."


def problems_of_link(target: str, text: str, folder: Path) -> Iterator[str]:
    if re.match(r"\w+:", target):
        return
    path, _, anchor = target.partition("#")
    file = folder / path if path else None
    if file and not file.exists():
        yield f"The link to {target} leads nowhere."
    elif anchor and anchor not in anchors_of(file.read_text() if file else text):
        yield f"The link to {target} leads to no heading."


def anchors_of(text: str) -> set[str]:
    headings = HEADING.findall(FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@cache
def code_files() -> list[Path]:
    files = [path for folder in (*APPS, "tests") for path in (ROOT / folder).rglob("*.py")]
    return [path for path in files if path.parent != ROOT / "tests" / "docs"]


@cache
def words_of_code() -> frozenset[str]:
    """Return every word of our code, templates and scripts. Documentation is not among them."""
    others = [ROOT / name for name in ("Makefile", "Procfile", "pyproject.toml", ".ci/run")]
    kinds_by_folder = {"templates": ("html", "txt"), "static/js": ("js",), "deploy": ("yml",)}
    for folder, kinds in kinds_by_folder.items():
        others += [path for kind in kinds for path in (ROOT / folder).rglob(f"*.{kind}")]
    texts = [path.read_text() for path in (*code_files(), *others)]
    return frozenset(re.findall(r"\w+", " ".join(texts)))


@cache
def names_of_tests() -> frozenset[str]:
    names: set[str] = set()
    tests_of_documentation = (ROOT / "tests" / "docs").glob("test_*.py")
    for path in (*code_files(), *tests_of_documentation):
        names |= names_in(path)
    return frozenset(name for name in names if TEST.fullmatch(name))


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return what a module or package defines or imports: `function`, `Class`, `Class.method`.

    A test in a class is found by its own name too, as in `tests/…/test_x.py::test_y`.
    """
    if path.is_dir():
        path /= "__init__.py"
    if path.suffix != ".py" or not path.is_file():
        return frozenset(re.findall(r"\w+", path.read_text()) if path.is_file() else ())
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            inside = {name for part in node.body for name in bound_by(part)}
            names |= {f"{node.name}.{name}" for name in inside}
            names |= {name for name in inside if TEST.fullmatch(name)}
        names |= set(bound_by(node))
    return frozenset(names)


def bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name for alias in node.names)
