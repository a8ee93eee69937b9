"""Programs of the tests: separate processes with the settings of production."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snap.local.processes import BASE_DIR
from tests.helpers.stack import database_url


def program_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a program on the test database and the tests' Valkey."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "snap.settings",
        "DATABASE_URL": database_url(),
        **variables,
    }
    environment.pop("PYTEST_VERSION", None)
    return environment


@contextmanager
def running_command(
    *arguments: str, log: Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `manage.py` with some arguments during a block, with its output in a file."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=program_environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
