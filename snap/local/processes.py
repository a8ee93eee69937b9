"""The Procfile's processes: each in a session of its own, so that it can be stopped whole."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from honcho.environ import parse_procfile

BASE_DIR = Path(__file__).resolve().parent.parent.parent
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def end_with_parent(signum: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn`: the child gets `signum` when the thread that started it dies (Linux).

    It is what leaves no orphans when the parent is killed without a chance to clean up.
    """
    parent = os.getpid()

    def ask_the_kernel() -> None:
        if sys.platform == "linux":
            _libc.prctl(PR_SET_PDEATHSIG, signum)
            if os.getppid() != parent:
                os._exit(1)

    return ask_the_kernel


class Process:
    """One line of the Procfile. Start, signal and stop mean the process and all its children."""

    def __init__(self, name: str, command: str, env: Mapping[str, str]) -> None:
        self.name = name
        self.command = command
        self.env = env
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The leader's process id, which is its group's too."""
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen.pid

    def start(self, output: IO[bytes] | int) -> IO[bytes] | None:
        """Start it in the checkout; with `subprocess.PIPE` as output, return the pipe's end."""
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self.command}"],
            cwd=BASE_DIR,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
        return self._popen.stdout

    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def signal(self, signum: signal.Signals) -> None:
        """Signal the whole group, children whose leader has died included."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signum)

    def kill(self) -> None:
        """Kill the group at once, and whatever an ended leader has left of it."""
        if self._popen is not None:
            self.signal(signal.SIGKILL)
            self._popen.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the leader alone: it is the one who stops its children in order."""
        if self._popen is not None:
            self._popen.terminate()

    def wait(self, timeout: float) -> None:
        """Wait for the leader's end, at most `timeout` seconds."""
        if self._popen is not None:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)


def stop(processes: Collection[Process], timeout: float) -> None:
    """Ask all to stop, wait at most `timeout` seconds for all, then kill what is left."""
    for process in processes:
        process.ask_to_stop()
    deadline = time.monotonic() + timeout
    for process in processes:
        process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()


def read_procfile(env: Mapping[str, str]) -> list[Process]:
    """Return the Procfile's processes, not started, each with `env` as its environment."""
    procfile = parse_procfile((BASE_DIR / "Procfile").read_text())
    return [Process(name, command, env) for name, command in procfile.processes.items()]
