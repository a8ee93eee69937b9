"""Write docs/settings.md from the comments in snap/settings.py and in the Procfile.

    python -m tests.settings_reference

The comment directly above a call like `env.int("LIMIT_IP", default=100)` is the meaning of that
variable. Where a line begins with the call, because the statement was wrapped, the comment above
the statement counts. A comment belongs to one variable only. Headings like `# Limits -----` group
the variables.

Variables of the Procfile, like `${WEB_PORT:-8000}`, are described there by comments like
`# WEB_PORT: …`, which may go on in the next line.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.generated import write_generated

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "snap" / "settings.py"
PROCFILE = ROOT / "Procfile"
PAGE = ROOT / "docs" / "settings.md"

TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "share": "number",
    "pairs": "list, by commas",
    "sentry_dsn": "address",
    "bool": "true or false",
    "list": "list, by commas",
    "json": "JSON",
    "db_url": "address",
    "redis_url": "address",
    "public_url": "address",
    "url": "address",
    "domain": "domain",
    "host": "host",
    "sender": "sender",
    "dotted_path": "dotted path",
    "choice": "one of a list",
    "choices": "list, by commas",
    "secret": "secret",
    "credentials": "secret",
    "secrets": "secrets, by commas",
    "hosts": "list, by commas",
    "labels": "list, by commas",
    "origins": "list, by commas",
    "port": "port",
    "folder": "folder",
    "file": "file",
}
QUOTED = re.compile(r"'(.+?)'")
HEADING = re.compile(r"# (?P<title>\S.*?) -{5,}")
# A default in the Procfile, and the line that describes a variable there.
PROCFILE_DEFAULT = re.compile(r"\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")
PROCFILE_MEANING = re.compile(r"# (?P<name>[A-Z_]+): (?P<text>.+)")
REQUIRED = "required"

INTRODUCTION = """\
# Settings

`make settings` writes this page from the comments in `snap/settings.py` and the `Procfile`.

SNAP reads its settings from environment variables. A variable that is not set is read from the
file `var/env`, which `make run` writes. Variables whose default is "required" must be set. An empty
variable counts as not set. Paths are relative to the checkout. Variables of make, as in
`make test SLOW=1`, are not settings: the Makefile explains them.

A value that cannot work ends every process and command with one sentence and status 1. Spaces
around a value do not count. Secrets are kept byte for byte. A user name or password in an address
is written percent-encoded: `%2F` for a slash, `%23` for `#`, `%40` for `@`.

A line of `var/env` is `NAME=value`. The value is everything behind the `=`: `$`, `#` and spaces
have no meaning. Single or double quotes around it do not belong to it; in double quotes, `\\n` is a
line break and a backslash escapes the next character.

SNAP ignores the variables of other programs, and removes them from its processes: those with which
libpq, Celery, granian, uvicorn, OpenTelemetry and Sentry would connect elsewhere or run in another
way (`PGHOST`, `PGOPTIONS`, `CELERY_BROKER_URL`, `GRANIAN_PORT`, `WEB_CONCURRENCY`,
`OTEL_SDK_DISABLED` and so on; the list is in `snap/environment/foreign.py`). Those that say how
safe a connection to PostgreSQL must be, such as `PGSSLMODE`, apply when DATABASE_URL has no
`sslmode`. `PGPASSWORD` and `PGPASSFILE` apply when it has no password. Proxies (`https_proxy`)
apply to mail providers and to the receivers of traces and errors only.
"""


class UndocumentedError(Exception):
    """Some variables have no comment of their own."""


@dataclass(frozen=True)
class Setting:
    name: str
    kind: str
    default: str
    meaning: str
    section: str


# snap/settings.py --------------------------------------------------------------------------------


def read_settings(source: str) -> list[Setting]:
    """Return the variables that a settings module reads, in its order. Raises UndocumentedError."""
    lines = source.splitlines()
    found: list[Setting] = []
    places: list[int] = []
    missing: list[str] = []
    for call, statement in env_calls(ast.parse(source)):
        name = str(ast.literal_eval(call.args[0]))
        line = call.lineno
        if lines[line - 1].lstrip().startswith("env."):
            line = statement.lineno
        meaning = comment_above(lines, line)
        if not meaning or line in places:
            missing.append(name)
        places.append(line)
        kind = TYPES[env_method(call)]
        found.append(Setting(name, kind, default_of(call), meaning, heading_above(lines, line)))
    if missing:
        raise UndocumentedError(
            f"Write a comment of its own above {', '.join(missing)} in snap/settings.py:"
            " what it is, its unit, and what the limit is for."
        )
    return found


def env_calls(module: ast.Module) -> Iterator[tuple[ast.Call, ast.stmt]]:
    """Yield each call of a method of `env` that names a variable, with its statement."""
    for statement in module.body:
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        calls.sort(key=lambda call: (call.lineno, call.col_offset))
        for call in calls:
            if env_method(call) in TYPES:
                yield call, statement


def env_method(call: ast.Call) -> str:
    """Return the method of `env` that a call calls, "" for every other call."""
    function = call.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return ""
    if function.value.id != "env":
        return ""
    return function.attr


def default_of(call: ast.Call) -> str:
    """Return the default of a call as the page shows it."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "default" in given:
        return describe(given["default"])
    if "server" in given:
        return "a database of `REDIS_URL`" + offset_of(given.get("offset"))
    return REQUIRED


def offset_of(node: ast.expr | None) -> str:
    """Return how far the number of a Redis database is from that of REDIS_URL."""
    if node is None:
        return ": its number"
    return f": its number + {ast.unparse(node)}"


def describe(node: ast.expr) -> str:
    """Return a default as the page shows it. Raises ValueError for one that it cannot show."""
    text = ast.unparse(node)
    if text.startswith("BASE_DIR / "):
        return "`" + "/".join(QUOTED.findall(text)) + "`"
    if isinstance(node, ast.JoinedStr):
        return f"`{text[2:-1]}`"
    if isinstance(node, ast.BinOp):
        return str(product_of(node))
    if not isinstance(node, ast.Constant):
        return describe_name(text)
    if node.value == "":
        return "empty"
    if isinstance(node.value, str):
        return f"`{node.value}`"
    if isinstance(node.value, float):
        return f"{node.value:g}"
    return str(node.value).lower()


def product_of(node: ast.expr) -> int:
    """Return the value of a product of whole numbers, such as `24 * 60 * 60`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return product_of(node.left) * product_of(node.right)
    raise ValueError(f"This default is no product of whole numbers: {ast.unparse(node)}")


def describe_name(text: str) -> str:
    if text in {"[]", "{}"}:
        return "empty"
    return f"`{text.strip('[]')}`"


def is_comment(lines: list[str], number: int) -> bool:
    """Tell whether the line with a number, counted from 1, is a comment and no heading."""
    line = lines[number - 1].strip()
    return line.startswith("# ") and HEADING.fullmatch(line) is None


def comment_above(lines: list[str], number: int) -> str:
    """Return the comment that ends above a line, as one paragraph, "" without one."""
    first = number
    while first > 1 and is_comment(lines, first - 1):
        first -= 1
    words = [line.strip().removeprefix("# ") for line in lines[first - 1 : number - 1]]
    return " ".join(words)


def heading_above(lines: list[str], number: int) -> str:
    for line in reversed(lines[: number - 1]):
        if heading := HEADING.fullmatch(line):
            return heading["title"]
    raise ValueError(f"Line {number} of the settings stands under no heading.")


# Procfile ----------------------------------------------------------------------------------------


def read_procfile(text: str) -> list[Setting]:
    """Return the variables that a Procfile names. Raises UndocumentedError."""
    defaults = {match["name"]: match["default"] for match in PROCFILE_DEFAULT.finditer(text)}
    meanings: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        described = PROCFILE_MEANING.fullmatch(line)
        if described:
            name = described["name"]
            meanings[name] = described["text"]
        elif line.startswith("# ") and name:
            meanings[name] += " " + line.removeprefix("# ")
        else:
            name = ""
    missing = [name for name in defaults if name not in meanings]
    if missing:
        raise UndocumentedError(f"Describe {', '.join(missing)} in a comment of the Procfile.")
    found: list[Setting] = []
    for name, meaning in meanings.items():
        default = defaults.get(name, "")
        found.append(Setting(name, kind_of(default), shown(default), meaning, "Processes"))
    return found


def kind_of(default: str) -> str:
    return TYPES["int"] if default.isdecimal() else TYPES["str"]


def shown(default: str) -> str:
    if default.isdecimal():
        return default
    return f"`{default}`" if default else "empty"


# The page ----------------------------------------------------------------------------------------


def check_names(settings: list[Setting]) -> None:
    """Raise ValueError for a variable that is read twice, perhaps with two defaults."""
    counts = Counter(setting.name for setting in settings)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"Read {', '.join(twice)} once, in one place.")


def render(settings: list[Setting]) -> str:
    """Return the page: a table for each section, in the order in which sections appear."""
    parts = [INTRODUCTION]
    for section in dict.fromkeys(setting.section for setting in settings):
        rows = [f"\n## {section}\n", "| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
        for each in settings:
            if each.section == section:
                cells = [f"`{each.name}`", each.kind, each.default, each.meaning]
                rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
        parts.append("\n".join(rows) + "\n")
    return "".join(parts)


def page() -> str:
    """Return what docs/settings.md has to be. Raises UndocumentedError and ValueError."""
    settings = [*read_settings(SETTINGS.read_text()), *read_procfile(PROCFILE.read_text())]
    check_names(settings)
    return render(settings)


if __name__ == "__main__":
    write_generated(PAGE, page().encode())
