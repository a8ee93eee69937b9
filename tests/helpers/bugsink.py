"""Bugsink, a server that speaks Sentry's protocol, as a receiver of reports.

Its packages have versions that SNAP's do not fit, so it has a virtual environment of its own. That
is made once, in var/, by the uv of the tests.
"""

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snap.local.embedded import free_port
from snap.local.processes import BASE_DIR
from tests.helpers.stack import responds, wait_for

VERSION = "2.6.2"
HOME = BASE_DIR / "var" / f"bugsink-{VERSION}"
# Its databases after all migrations, which take some seconds.
EMPTY = HOME / "empty"

SETTINGS = """\
from bugsink.settings.default import *
SECRET_KEY = "{secret}"
DATABASES["default"]["NAME"] = "{folder}/events.sqlite3"
DATABASES["snappea"]["NAME"] = "{folder}/tasks.sqlite3"
SNAPPEA = {{"TASK_ALWAYS_EAGER": True}}
ALLOWED_HOSTS = ["127.0.0.1"]
BUGSINK = {{"BASE_URL": "http://127.0.0.1:{port}", "PHONEHOME": False}}
"""
MAKE_PROJECT = (
    "from projects.models import Project;"
    "project = Project.objects.create(name='SNAP');"
    "print(project.id, project.sentry_key.hex)"
)


def install() -> None:
    """Install Bugsink and make its empty databases, unless that is done.

    Without a package index the test is skipped. In CI it fails instead.
    """
    if EMPTY.exists():
        return
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(HOME / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(HOME)],
        [uv, "pip", "install", "--quiet", "--python", python, f"bugsink=={VERSION}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = f"Bugsink {VERSION} could not be installed:\n{done.stderr[-1000:]}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
    unfinished = HOME / "unfinished"
    unfinished.mkdir(exist_ok=True)
    write_settings(unfinished, free_port())
    manage(unfinished, "migrate", "--verbosity", "0")
    manage(unfinished, "migrate", "--verbosity", "0", "--database", "snappea")
    unfinished.rename(EMPTY)


def write_settings(folder: Path, port: int) -> None:
    secret = secrets.token_urlsafe(48)
    settings = SETTINGS.format(secret=secret, folder=folder, port=port)
    (folder / "bugsink_conf.py").write_text(settings)


def manage(folder: Path, *arguments: str) -> str:
    """Run a command of Bugsink with the settings in a folder, and return what it printed."""
    command = [str(HOME / "bin" / "bugsink-manage"), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }


class Bugsink:
    """A running Bugsink with one project, whose address is `dsn`."""

    def __init__(self, folder: Path) -> None:
        install()
        shutil.copytree(EMPTY, folder)
        self._folder = folder
        port = free_port()
        write_settings(folder, port)
        project, key = manage(folder, "shell", "--command", MAKE_PROJECT).split()[-2:]
        self.dsn = f"http://{key}@127.0.0.1:{port}/{project}"
        address = ["--bind", f"127.0.0.1:{port}", "--threads", "4"]
        with (folder / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [str(HOME / "bin" / "gunicorn"), *address, "bugsink.wsgi"],
                cwd=folder,
                env=environment(folder),
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: responds(f"http://127.0.0.1:{port}/health/ready"), 60)

    def stop(self) -> None:
        self._server.kill()
        self._server.wait()

    def events(self) -> list[dict[str, Any]]:
        """Return all reports that it has stored, the oldest first."""
        path = f"file:{self._folder}/events.sqlite3?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=10)) as database:
            rows = database.execute("SELECT data FROM events_event ORDER BY digest_order")
            return [json.loads(data) for (data,) in rows]
