"""A real `manage.py up` in a copy of the checkout, to be watched and stopped by tests."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import psutil

from snap.environment.file import read_file
from snap.local.embedded import free_port
from snap.local.processes import BASE_DIR
from tests.helpers import servers
from tests.helpers.stack import wait_for

NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "var", ".*_cache", "docs")
GIVEN_BY_TESTS = (
    "DATABASE_URL",
    "REDIS_URL",
    "PYTEST_VERSION",
    "DJANGO_SETTINGS_MODULE",
    "MEDIA_ROOT",
    "INBOX_DIR",
    "STATIC_ROOT",
    *servers.ENVIRONMENT,
)

# Seconds for steps that take some, on a busy machine.
PATIENCE = 90


class Run:
    """A `manage.py up`, the leader of a process group as a shell's job is."""

    started: ClassVar[list["Run"]] = []

    def __init__(self, checkout: Path, *arguments: str, **variables: str) -> None:
        self.checkout = checkout
        self.web_port = free_port()
        self.url = f"http://localhost:{self.web_port}"
        self.env = {
            "WEB_HOST": "127.0.0.1",
            "WEB_PORT": str(self.web_port),
            "WS_PORT": str(free_port()),
            "WEB_WORKERS": "1",
            "WORKER_CONCURRENCY": "2",
            **variables,
        }
        left = read_file(BASE_DIR / "var" / "env")
        for name, value in os.environ.items():
            # The settings of the tests have read what a run in this folder may have left.
            if name not in GIVEN_BY_TESTS and name not in left:
                self.env.setdefault(name, value)
        self.screen = checkout / f"up-{self.web_port}.txt"
        with self.screen.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "manage.py", "up", *arguments],
                cwd=checkout,
                env=self.env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Children inherit an ignored signal from the process that started the tests.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )
        self.started.append(self)

    def text(self) -> str:
        """Return what the screen shows."""
        return self.screen.read_text(errors="replace")

    def log(self, name: str) -> str:
        return (self.checkout / "var" / "log" / f"{name}.log").read_text(errors="replace")

    def written_environment(self) -> dict[str, str]:
        return read_file(self.checkout / "var" / "env")

    def wait_until_ready(self) -> None:
        wait_for(lambda: "SNAP is running" in self.text() or self.popen.poll() is not None, 90)
        assert self.popen.poll() is None, self.text()

    def fail(self) -> str:
        """Wait for a start that fails and return what the screen shows."""
        assert self.popen.wait(PATIENCE) == 1, self.text()
        return self.text()

    def stop(self) -> None:
        """Stop it in order, and check that no process is left."""
        family = self.family()
        self.popen.terminate()
        assert self.popen.wait(PATIENCE) == 0
        assert none_is_left(family)

    def family(self) -> list[psutil.Process]:
        return list(psutil.Process(self.popen.pid).children(recursive=True))

    def commands(self) -> list[str]:
        assert self.popen.poll() is None, self.text()
        commands = []
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                commands.append(" ".join(process.cmdline()))
        return commands

    def child(self, words: str) -> psutil.Process:
        for process in psutil.Process(self.popen.pid).children():
            if words in " ".join(process.cmdline()):
                return process
        raise AssertionError(f"no child process has {words} in its command")


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def none_is_left(family: list[psutil.Process]) -> bool:
    return not any(map(is_alive, family))


@contextmanager
def copied_checkout() -> Iterator[Path]:
    """Give a copy of the project with a `var` of its own."""
    with tempfile.TemporaryDirectory(prefix="snap-up-") as folder:
        # PostgreSQL's own user needs access when the tests run as root.
        Path(folder).chmod(0o711)
        copy = Path(folder) / "snap"
        shutil.copytree(BASE_DIR, copy, ignore=NOT_COPIED)
        yield copy


def end_all_runs() -> None:
    """Kill what is left of every run, so that a test that failed does not fail the next ones."""
    while Run.started:
        run = Run.started.pop()
        if run.popen.poll() is None:
            family = run.family()
            run.popen.kill()
            run.popen.wait()
            wait_for(lambda family=family: none_is_left(family), PATIENCE)  # type: ignore[misc]
