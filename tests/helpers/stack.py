"""The processes of the Procfile on the test database. Tests stop, kill and freeze them."""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from django.db import connection

from snap.local import processes
from snap.local.embedded import free_port
from snap.local.processes import BASE_DIR, Process

START_TIMEOUT = 40.0
STOP_TIMEOUT = 15.0

# One client for all, because loading certificates takes 50 ms. It opens a connection for each
# request, so that every web process gets requests.
http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))
# httpx logs a line for every request.
logging.getLogger("httpx").setLevel(logging.WARNING)


class Stack:
    """All processes of the Procfile: `web`, `ws`, `worker`, `emails`, `sweeper`.

    They read the test database, the tests' Valkey, and the folders that the tests' settings name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web_port, self.ws_port = free_port(), free_port()
        self.url = f"http://localhost:{self.web_port}"
        self.sockets_url = f"ws://127.0.0.1:{self.ws_port}"
        self.emails_dir = Path(os.environ["INBOX_DIR"])
        self.env = self._environment()
        self._processes = {each.name: each for each in processes.read_procfile(self.env)}
        self._guards: dict[str, subprocess.Popen[bytes]] = {}
        self._log_starts: dict[str, int] = {}

    def _environment(self) -> dict[str, str]:
        prometheus = self.folder / "prometheus"
        prometheus.mkdir()
        given = {name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"}
        return given | {
            "DJANGO_SETTINGS_MODULE": "snap.settings",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "",
            "DATABASE_URL": database_url(),
            "PUBLIC_URL": self.url,
            "WEB_HOST": "127.0.0.1",
            "WEB_PORT": str(self.web_port),
            "WS_PORT": str(self.ws_port),
            "WEBSOCKET_PORT": str(self.ws_port),
            "WORKER_CONCURRENCY": "4",
            "PROMETHEUS_MULTIPROC_DIR": str(prometheus),
            # Another folder than the tests' own: every test client would scan it, for 0.1 s.
            "STATIC_ROOT": os.environ["COLLECTED_STATIC"],
            "PYTHONUNBUFFERED": "1",
            # A slow machine must not begin a mode in the middle of a test.
            "MONITOR_SECONDS": "0",
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        }

    def open(self) -> None:
        """Collect static files and start everything."""
        self._collect_static()
        self.start(*self._processes)

    def _collect_static(self) -> None:
        """Collect static files, unless another test process has."""
        root = Path(self.env["STATIC_ROOT"])
        with root.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.exists():
                self.manage("collectstatic", "--no-input", "--verbosity", "0")

    def close(self) -> None:
        """Kill all processes. Other tests check that each stops when it is asked to."""
        for name in self._processes:
            self.kill(name)
        for guard in self._guards.values():
            _end(guard)

    def manage(self, *arguments: str) -> str:
        """Run a management command in the stack's environment and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=BASE_DIR, env=self.env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    # Single processes -----------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start those of the processes that do not run, and wait until all are ready."""
        away = [name for name in names if not self._processes[name].is_running()]
        for name in away:
            self._launch(name)
        for name in away:
            self._wait_until_ready(name)

    def stop(self, name: str) -> None:
        """Stop a process with SIGTERM and wait until it has ended."""
        processes.stop([self._processes[name]], STOP_TIMEOUT)

    def restart(self, *names: str, **env: str) -> None:
        """Kill processes and start them again, with further environment variables if given."""
        for name in names:
            self.kill(name)
            self._processes[name].env = self.env | env
        self.start(*names)

    def kill(self, name: str) -> None:
        """Kill a process and all its children with SIGKILL."""
        self._processes[name].kill()

    def freeze(self, name: str) -> None:
        self._processes[name].signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._processes[name].signal(signal.SIGCONT)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Stop a process for the length of a block."""
        self.stop(name)
        try:
            yield
        finally:
            self.start(name)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Freeze a process for the length of a block: it keeps its locks and connections."""
        self.freeze(name)
        try:
            yield
        finally:
            self.thaw(name)

    def log(self, name: str) -> str:
        """Return the log of a process since the tests began."""
        return self._log_path(name).read_text(errors="replace")

    def new_log(self, name: str) -> str:
        """Return the log of a process since its last start."""
        said = self._log_path(name).read_bytes()[self._log_starts[name] :]
        return said.decode(errors="replace")

    def _log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _launch(self, name: str) -> None:
        process = self._processes[name]
        with self._log_path(name).open("ab") as log:
            self._log_starts[name] = log.tell()
            process.kill()  # Children may have survived their parent.
            process.start(log)
        _end(self._guards.pop(name, None))
        self._guards[name] = _guard(process)

    def _wait_until_ready(self, name: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready(name):
            running = self._processes[name].is_running()
            assert running, f"{name} ended:\n{self.log(name)[-4000:]}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{self.log(name)[-4000:]}"
            time.sleep(0.1)

    def _is_ready(self, name: str) -> bool:
        if name == "web":
            return responds(f"{self.url}/healthz")
        said = self._log_path(name).read_bytes()[self._log_starts[name] :]
        words = {"ws": b"Uvicorn running", "worker": b" ready.", "emails": b" ready."}
        return words.get(name, b"") in said

    @contextmanager
    def another_web(self, **env: str) -> Iterator[str]:
        """Run one more web process with these environment variables, and return its address.

        This takes one start. Restarting web before and after a test would take four.
        """
        port = free_port()
        url = f"http://localhost:{port}"
        usual = {"WEB_PORT": str(port), "PUBLIC_URL": url, "WEB_WORKERS": "1"}
        web = Process("another web", self._processes["web"].command, self.env | usual | env)
        with (self.folder / "another-web.log").open("ab") as log:
            web.start(log)
        guard = _guard(web)
        try:
            wait_for(lambda: responds(f"{url}/healthz"), START_TIMEOUT)
            yield url
        finally:
            web.kill()
            _end(guard)

    # All processes --------------------------------------------------------------------------------

    def wake(self) -> None:
        """Make sure that every process runs, whatever the previous test has done."""
        self._signal_all(signal.SIGCONT)
        self.start(*self._processes)
        wait_for(self._web_is_well, 60)

    def _web_is_well(self) -> bool:
        """Say whether every web process works at level 1, with closed breakers.

        A response with only closed breakers is enough. Otherwise eight responses in a row at level
        1 are needed, which then come from all web processes.
        """
        told = readiness(self.url)
        if set(told.get("breakers", {}).values()) == {"closed"}:
            return bool(told["level"] == 1)
        return all(readiness(self.url).get("level") == 1 for _ in range(8))

    def sleep(self) -> None:
        """Freeze all processes outside of any transaction.

        Tests without the stack then find no rows of its processes, and tables can be truncated
        without waiting for a lock.
        """
        deadline = time.monotonic() + 10
        self._signal_all(signal.SIGSTOP)
        while _others_in_a_transaction():
            assert time.monotonic() < deadline, "a process does not end its transaction"
            self._signal_all(signal.SIGCONT)
            time.sleep(0.05)
            self._signal_all(signal.SIGSTOP)
            time.sleep(0.02)

    def _signal_all(self, signum: signal.Signals) -> None:
        for process in self._processes.values():
            if process.is_running():
                process.signal(signum)


@contextmanager
def monitored(stack: Stack, seconds: float = 0.5) -> Iterator[None]:
    """Have the load monitor of the stack measure and decide for the length of a block."""
    stack.restart("sweeper", MONITOR_SECONDS=str(seconds))
    try:
        yield
    finally:
        stack.restart("sweeper")


T = TypeVar("T")


def wait_for(find: Callable[[], T], timeout: float = 10.0) -> T:
    """Call `find` every 50 ms, and return its first true value. Fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := find()):
        assert time.monotonic() < deadline, f"it did not happen within {timeout} seconds"
        time.sleep(0.05)
    return found


def database_url() -> str:
    given = urlsplit(os.environ["DATABASE_URL"])
    return given._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


def responds(url: str) -> bool:
    try:
        return http.get(url, timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def readiness(url: str) -> dict[str, Any]:
    """Return the JSON of /readyz, {} when there is no response."""
    try:
        told: dict[str, Any] = http.get(f"{url}/readyz", timeout=5).json()
    except httpx.TransportError:
        return {}
    return told


def _others_in_a_transaction() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
        )
        (busy,) = cursor.fetchone()
    return bool(busy)


def _guard(process: Process) -> subprocess.Popen[bytes]:
    """Start a shell that kills the process when the tests die, even if it is frozen."""
    command = ["/bin/sh", "-c", f"cat; kill -KILL -- -{process.pid}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _end(guard: subprocess.Popen[bytes] | None) -> None:
    if guard is not None:
        guard.kill()
        guard.communicate()
