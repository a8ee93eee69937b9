"""The file `var/env`: variables for commands in this checkout, one `NAME=value` a line.

A value is everything behind the `=`, as it is: `$`, `#` and spaces have no meaning. A value in
single quotes is what stands between them. In double quotes a backslash escapes the next character,
and `\\n` is a line break.
"""

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from snap.environment.errors import SettingError

HEADER = "# Written by `make run`. Real environment variables win."

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z_0-9]*)=(?P<value>.*)")
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_QUOTES = ("'", '"')


def read_file(path: Path) -> dict[str, str]:
    """Return the variables in the file; none if it does not exist. Raises SettingError."""
    variables: dict[str, str] = {}
    for number, line in enumerate(_read_lines(path), start=1):
        if is_comment(line):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingError(f"line {number} of {path} must be a comment or NAME=value.")
        variables[match["name"]] = decode(match["value"])
    return variables


def update_file(path: Path, variables: Mapping[str, str], *, remove: frozenset[str]) -> None:
    """Write variables into the file, and remove others. All other lines stay as they are.

    The file is replaced in one step, so that a full disk leaves the earlier one.
    """
    lines = []
    for line in _read_lines(path) or [HEADER]:
        match = _LINE.fullmatch(line)
        if match is None or match["name"] not in remove | variables.keys():
            lines.append(line)
    for name, value in variables.items():
        lines.append(f"{name}={encode(value)}")
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.touch(mode=0o600)
    unfinished.chmod(0o600)
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    unfinished.replace(path)


def add_file(path: Path, environ: MutableMapping[str, str]) -> None:
    """Add the file's variables to the environment. Those that are there and not empty win."""
    for name, value in read_file(path).items():
        if not environ.get(name):
            environ[name] = value


def decode(text: str) -> str:
    """Return the value that a line of the file stands for."""
    quote = text[:1]
    if len(text) < 2 or quote not in _QUOTES or text[-1] != quote:
        return text
    inside = text[1:-1]
    if quote == "'":
        return inside
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), inside)


def encode(value: str) -> str:
    """Return the text that `decode` reads as this value: the value itself where that works."""
    if decode(value) == value and len(value.splitlines()) <= 1 and not value.endswith("\n"):
        return value
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    for letter, sign in _ESCAPES.items():
        text = text.replace(sign, f"\\{letter}")
    return f'"{text}"'


def is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({(error.strerror or '').lower()}).") from error
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
