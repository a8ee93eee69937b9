"""Private parts of other packages that the code uses, and the search for them in the code."""

import ast
import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType

from snap.local.processes import BASE_DIR

# Private names in the code, by the package that they belong to. Each package has a test in
# tests/snap/test_private_parts.py, or in resilience/test_psycopg_private_parts.py.
PRIVATE_NAMES = {
    "psycopg": {"_WaitTimeout"},
    "psycopg-pool": {"_pool"},
    "channels-redis": {
        "_ensure_receiver",
        "_ensure_redis",
        "_get_group_channel_name",
        "_get_layer",
        "_layers",
        "_lock",
        "_pubsub",
        "_shards",
        "_subscribed_to",
    },
    "kombu": {"_do_close_transport", "_transport"},
    "granian": {"_granian"},
    "prometheus-client": {"_capacity", "_f", "_init_value", "_m", "_used"},
    "django": {"_cached_user", "_db", "_reject", "_state"},
    "djangorestframework": {"_request"},
    # ReportTransport overrides _request, too.
    "sentry-sdk": {"_pool"},
}
# Private parts without an underscore: modules and attributes that no documentation names.
UNDOCUMENTED = {
    "qrcode": "guests/qr",
    "uvicorn": "snap/asgi.py",
    "granian": "snap/granian.py",
    "celery": "snap/celery.py",
    "prometheus-client": "snap/metering/slots.py",
}
# Names with an underscore that their documentation has.
DOCUMENTED_NAMES = {
    "_OTHER",
    "_asdict",
    "_default_manager",
    "_exit",
    "_fields",
    "_meta",
    "_replace",
}

APPS = ["snap", "promo", "guests", "accounts", "notifications"]


def changed(package: str, file: str, reliance: str) -> str:
    version = importlib.metadata.version(package)
    return f"{package} has changed (this is {version}): {file} relies on {reliance}"


def require(owner: object, names: set[str], package: str, file: str) -> None:
    place = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
    for name in sorted(names):
        assert hasattr(owner, name), changed(package, file, f"{place}.{name}")


# The search --------------------------------------------------------------------------------------


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.strip("_").isidentifier()


class WithoutFStrings(ast.NodeTransformer):
    """Removes the literal parts of f-strings: `_url` in f"{step}_url" is no name."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        node.values = [part for part in node.values if not isinstance(part, ast.Constant)]
        return node


def private_names_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of each private name that the module itself does not define."""
    own = set(names_defined_in(tree))
    for node in ast.walk(WithoutFStrings().visit(tree)):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for name in (*module.split("."), *(alias.name for alias in node.names)):
                if is_private(name):
                    yield node.lineno, name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                for name in alias.name.split("."):
                    if is_private(name):
                        yield node.lineno, name
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # As in getattr(request, "_cached_user") or the name of a logger.
            is_foreign = is_private(node.value) and node.value not in own
            if is_foreign:
                yield node.lineno, node.value


def names_defined_in(tree: ast.Module) -> Iterator[str]:
    """Yield the names of functions, classes and variables, and attributes that classes set on self.

    Classes with a base class of another package define none: an attribute with an underscore may be
    the base's own.
    """
    foreign = set(foreign_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.ClassDef) and not bases_of(node) & foreign:
            yield node.name
            yield from attributes_set_in(node)


def attributes_set_in(node: ast.ClassDef) -> Iterator[str]:
    for part in ast.walk(node):
        is_set = isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
        if is_set and isinstance(part.value, ast.Name) and part.value.id == "self":  # type: ignore[attr-defined]
            yield part.attr  # type: ignore[attr-defined]


def bases_of(node: ast.ClassDef) -> set[str]:
    """Return the first part of each base's name: `psycopg` for `psycopg.Connection[Any]`."""
    return {ast.unparse(base).partition(".")[0].partition("[")[0] for base in node.bases}


def foreign_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module imports from other packages than the standard library."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for alias in node.names:
            module = node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
            package = module.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in APPS:
                yield (alias.asname or alias.name).partition(".")[0]


def overridden_private_methods(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield private methods of a module's classes that another package's base class has, too."""
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        found = getattr(module, node.name, None)
        if not isinstance(found, type):
            continue
        for part in node.body:
            if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if is_private(part.name) and is_inherited(found, part.name):
                yield part.name


def is_inherited(owner: type, name: str) -> bool:
    """Return whether a class of another package, from which this one inherits, has the name."""
    for base in owner.__mro__[1:]:
        is_ours = base.__module__.partition(".")[0] in APPS
        if name in vars(base) and not is_ours:
            return True
    return False


def sources() -> Iterator[tuple[str, ast.Module]]:
    for app in APPS:
        for path in sorted((BASE_DIR / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path.relative_to(BASE_DIR).as_posix(), ast.parse(path.read_text())


@cache
def names_by_place() -> dict[str, str]:
    """Return each private name of another package in the code, with the first place of its use."""
    found: dict[str, str] = {}
    for path, tree in sources():
        for line, name in private_names_in(tree):
            found.setdefault(name, f"{path}:{line}")
        if not path.endswith(("wsgi.py", "asgi.py")):
            for name in overridden_private_methods(path, tree):
                found.setdefault(name, path)
    return found
