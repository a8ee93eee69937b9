"""The Procfile's processes. Each runs in a session of its own, so that it can be stopped whole."""

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
    """Return a `preexec_fn`: the child gets `signum` when the thread that started it ends (Linux).

    A parent that is killed leaves no orphans.
    """
    parent = os.getpid()

    def set_parent_death_signal() -> None:
        if sys.platform == "linux":
            _libc.prctl(PR_SET_PDEATHSIG, signum)
            if os.getppid() != parent:
                os._exit(1)

    return set_parent_death_signal


class Process:
    """One line of the Procfile. `start`, `signal` and `kill` apply to its children too."""

    def __init__(self, name: str, command: str, env: Mapping[str, str]) -> None:
        self.name = name
        self.command = command
        self.env = env
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The leader's process id, which is also the id of its process group."""
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """The leader's exit status, negative for a signal; None while it runs."""
        if self._popen is None:
            return None
        return self._popen.poll()

    def start(self, output: IO[bytes] | int) -> IO[bytes] | None:
        """Start in the checkout. With `subprocess.PIPE` as output, return the end to read from."""
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
        """Signal the whole group, including children whose leader has died."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signum)

    def kill(self) -> None:
        """Kill the group at once, including children that a dead leader has left."""
        if self._popen is not None:
            self.signal(signal.SIGKILL)
            self._popen.wait()

    def terminate(self) -> None:
        """Send SIGTERM to the leader alone: the leader stops its children in order."""
        if self._popen is not None:
            self._popen.terminate()

    def wait(self, timeout: float) -> None:
        """Wait for the leader to end, at most `timeout` seconds."""
        if self._popen is not None:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)


def stop(processes: Collection[Process], timeout: float) -> None:
    """Terminate all processes, wait at most `timeout` seconds, then kill what still runs."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + timeout
    for process in processes:
        process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()


def read_procfile(env: Mapping[str, str]) -> list[Process]:
    """Return the Procfile's processes, not started, each with `env` as its environment."""
    procfile = parse_procfile((BASE_DIR / "Procfile").read_text())
    return [Process(name, command, env) for name, command in procfile.processes.items()]
