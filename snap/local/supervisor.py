"""Start the Procfile's processes, and restart each process and server that ends."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import IO, Protocol

from snap.local import processes
from snap.local.embedded import PostgreSQL, Valkey
from snap.local.output import Output, see_log
from snap.local.processes import Process
from snap.local.wheels import EmbeddedError

# Seconds that processes have to stop. While they start they may ignore SIGTERM, and have no work.
STOP_TIMEOUT = 15.0
STOP_TIMEOUT_AT_START = 2.0
# Seconds before a restart. The pause doubles each time up to the longest one, and starts at the
# first one again once a process has run for LONG_RUN seconds.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
LONG_RUN = 60.0


class Restartable(Protocol):
    """A process of the Procfile or an embedded server."""

    @property
    def name(self) -> str: ...

    @property
    def exit_status(self) -> int | None: ...

    def is_running(self) -> bool: ...


class Watch:
    """Restarts one process or server, with a pause that grows when it ends again and again."""

    def __init__(self, watched: Restartable, start: Callable[[], None]) -> None:
        self.watched = watched
        self.restart_at: float | None = None
        self.ends = 0
        self._start = start
        self._started_at = time.monotonic()

    @property
    def name(self) -> str:
        return self.watched.name

    def check(self) -> str:
        """Restart the process if it has ended and its pause is over. Return what happened."""
        now = time.monotonic()
        if self.restart_at is None:
            if self.watched.is_running():
                return ""
            return f"{self.name} ended ({describe_exit(self.watched)}). {self._plan_restart(now)}"
        if now < self.restart_at:
            return ""
        return self._restart()

    def _plan_restart(self, now: float) -> str:
        if now > self._started_at + LONG_RUN:
            self.ends = 0
        self.ends += 1
        pause = min(FIRST_PAUSE * 2.0 ** (self.ends - 1), LONGEST_PAUSE)
        self.restart_at = now + pause
        return f"It is restarted in {pause:.0f} s {see_log(self.name)}"

    def _restart(self) -> str:
        self._started_at = time.monotonic()
        try:
            self._start()
        except EmbeddedError as error:
            return f"{error} {self._plan_restart(time.monotonic())}"
        self.restart_at = None
        return f"{self.name} is restarted."


class Supervisor:
    """The Procfile's processes and the servers that they use."""

    def __init__(
        self,
        started: Collection[Process],
        servers: Collection[PostgreSQL | Valkey],
        output: Output,
    ) -> None:
        self.processes = started
        self.output = output
        self.is_ready = False
        self.watches: list[Watch] = []
        for server in servers:
            self.watches.append(Watch(server, server.start))
        for process in started:
            self.watches.append(Watch(process, partial(self._launch, process)))

    def start(self) -> None:
        for process in self.processes:
            self._launch(process)

    def check(self) -> None:
        """Restart what has ended, and report it."""
        for watch in self.watches:
            event = watch.check()
            if event:
                self.output.report(watch.name, event)
        self.output.print_pending_errors()

    def first_ended(self) -> Process | None:
        """Return a process that does not run, if there is one."""
        for process in self.processes:
            if not process.is_running():
                return process
        return None

    def stop(self) -> None:
        self.output.mute()
        timeout = STOP_TIMEOUT
        if not self.is_ready:
            timeout = STOP_TIMEOUT_AT_START
        processes.stop(self.processes, timeout)

    def _launch(self, process: Process) -> None:
        # Children whose leader was killed would still hold its port.
        process.kill()
        pipe = process.start(subprocess.PIPE)
        threading.Thread(target=self._read, args=(process.name, pipe), daemon=True).start()

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        """Pass on all lines that a process writes, until it closes its output."""
        with pipe:
            for line in pipe:
                self.output.process_line(name, line.decode(errors="replace").rstrip("\r\n"))


def describe_exit(ended: Restartable) -> str:
    """Return how a process ended, in a few words."""
    status = ended.exit_status
    if status is None:
        return "not started"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit code {status}"
