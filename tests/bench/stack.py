"""SNAP as in production, on this machine: own servers, all processes, and an empty database.

Nothing is turned off: CSRF, limits (raised, because all visitors have one address), metrics,
history, emails (to a server that accepts all), and every commit is on disk before its response.
"""

import os
import resource
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psutil

from snap.local import processes
from snap.local.embedded import PostgreSQL, Valkey, free_port
from snap.local.processes import BASE_DIR, Process

# A limit that is never reached. It is still counted.
NO_LIMIT = "1000000000"
LIMITS = (
    "LIMIT_IP",
    "LIMIT_PHONE",
    "LIMIT_PHONES_BROWSER",
    "LIMIT_PHONES_ADDRESS",
    "LIMIT_PHONES_NEAR",
    "LIMIT_PHONES_BLOCK",
    "LIMIT_SOCKETS",
    "LIMIT_SOCKETS_ADDRESS",
    "LIMIT_EVENT",
    "LIMIT_SYSTEM",
)
LIMITS_OF_ROUTES = (
    "LIMIT_PHONE_CHECK",
    "LIMIT_GUEST_CREATE",
    "LIMIT_PROMO_PAGES",
    "LIMIT_EMAILS",
)
CODE_LIMITS = ("LOGIN_CODES_PER_ADDRESS", "LOGIN_CODES_PER_PREFIX", "LOGIN_CODES_IN_ALL")

# Time limits of the process that makes a million rows. SNAP's processes keep the usual ones.
PATIENT = {
    "DATABASE_STATEMENT_TIMEOUT": "3600000",
    "DATABASE_SILENCE_TIMEOUT": "3600",
    "DATABASE_PAGE_SECONDS": "3600",
}

START_TIMEOUT = 90.0
STOP_TIMEOUT = 15.0


class ProductionStack:
    """PostgreSQL, Valkey, a mail sink and the Procfile's processes, in `folder`.

    `settings` are additional environment variables. With `counts_statements` PostgreSQL
    keeps pg_stat_statements, which costs it a little.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str] | None = None,
        *,
        counts_statements: bool = False,
    ) -> None:
        self.folder = folder
        preload = {"shared_preload_libraries": "pg_stat_statements"} if counts_statements else {}
        self.postgresql = PostgreSQL(folder / "postgresql", preload)
        self.valkey = Valkey(folder / "valkey")
        self.web_port, self.ws_port, self.mail_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        self.given = settings or {}
        self.env: dict[str, str] = {}
        self.processes: dict[str, Process] = {}
        self._stop = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self._open(started)
            self._stop = started.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.close()

    def _open(self, started: ExitStack) -> None:
        allow_many_sockets()
        self._empty()
        for server in (self.postgresql, self.valkey):
            started.callback(server.stop)
            server.start()
        self.env = self._environment()
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--no-input", "--verbosity", "0")
        sink = f"{sys.executable} -m tests.bench.sink {self.mail_port}"
        self.processes = {each.name: each for each in processes.read_procfile(self.env)}
        self.processes["mail sink"] = Process("mail sink", sink, self.env)
        started.callback(processes.stop, self.processes.values(), STOP_TIMEOUT)
        for name in self.processes:
            self._launch(name)
        for name in self.processes:
            self._wait_until_ready(name)

    def _empty(self) -> None:
        shutil.rmtree(self.postgresql.data_dir, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "prometheus").mkdir(parents=True)

    def _environment(self) -> dict[str, str]:
        folders = {"MEDIA_ROOT": "media", "STATIC_ROOT": "static", "INBOX_DIR": "inbox"}
        return (
            dict(os.environ)
            | dict.fromkeys(LIMITS + LIMITS_OF_ROUTES + CODE_LIMITS, NO_LIMIT)
            | {name: str(self.folder / place) for name, place in folders.items()}
            | {
                "DJANGO_SETTINGS_MODULE": "snap.settings",
                "DEBUG": "false",
                "SECRET_KEY": secrets.token_urlsafe(50),
                "DATABASE_URL": self.postgresql.url,
                "REDIS_URL": self.valkey.url,
                "PUBLIC_URL": self.url,
                "ALLOWED_HOSTS": "127.0.0.1,localhost",
                "WEBSOCKET_ORIGINS": self.url,
                "WEB_HOST": "127.0.0.1",
                "WEB_PORT": str(self.web_port),
                "WS_PORT": str(self.ws_port),
                "WEBSOCKET_PORT": str(self.ws_port),
                "EMAIL_PROVIDER": "smtp",
                "EMAIL_HOST": "127.0.0.1",
                "EMAIL_PORT": str(self.mail_port),
                "JOURNAL_PATH": str(self.folder / "journal" / "emergency.sqlite3"),
                "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "prometheus"),
                "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            }
            | self.given
        )

    @property
    def own_env(self) -> dict[str, str]:
        """The environment of this process, which makes the rows."""
        return self.env | PATIENT

    # Commands ----------------------------------------------------------------------------------

    def manage(self, *arguments: str) -> str:
        """Run a management command and return what it printed. Raises CalledProcessError."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=BASE_DIR, env=self.env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def audit(self) -> tuple[bool, str]:
        """Run `manage.py audit`, and return whether it succeeded and its output."""
        command = [sys.executable, "manage.py", "audit"]
        ended = subprocess.run(
            command, cwd=BASE_DIR, env=self.env, stdout=subprocess.PIPE, text=True, check=False
        )
        return ended.returncode == 0, ended.stdout.strip()

    # Processes ---------------------------------------------------------------------------------

    @property
    def pids(self) -> dict[str, int]:
        """The leader of each group of processes, servers included."""
        servers = {"PostgreSQL": self.postgresql.pid, "Valkey": self.valkey.pid}
        return {name: process.pid for name, process in self.processes.items()} | servers

    def postgresql_binary(self, name: str) -> str:
        """Return the path of a program of PostgreSQL."""
        return str(self.postgresql._bin / name)

    def restart(self, name: str, **settings: str) -> None:
        """Stop a process with SIGTERM, and start it with these additional variables."""
        process = self.processes[name]
        processes.stop([process], STOP_TIMEOUT)
        process.env = self.env | settings
        self._launch(name)
        self._wait_until_ready(name)

    @contextmanager
    def usual_limits(self, **settings: str) -> Iterator[None]:
        """Run web and ws with the default limits, and these variables, during a block."""
        raised = {*LIMITS, *LIMITS_OF_ROUTES, *CODE_LIMITS}
        usual = {name: value for name, value in self.env.items() if name not in raised}
        self._run_with(usual | settings)
        try:
            yield
        finally:
            self._run_with(self.env)

    def _run_with(self, env: dict[str, str]) -> None:
        served = {name: self.processes[name] for name in ("web", "ws")}
        processes.stop(list(served.values()), STOP_TIMEOUT)
        for name, process in served.items():
            process.env = env
            self._launch(name)
        for name in served:
            self._wait_until_ready(name)

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Stop processes during a block."""
        processes.stop([self.processes[name] for name in names], STOP_TIMEOUT)
        try:
            yield
        finally:
            for name in names:
                self._launch(name)
            for name in names:
                self._wait_until_ready(name)

    def log_path(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def _launch(self, name: str) -> None:
        with self.log_path(name).open("wb") as log:
            self.processes[name].start(log)

    def _wait_until_ready(self, name: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready(name):
            if time.monotonic() > deadline or not self.processes[name].is_running():
                words = self.log_path(name).read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} is not ready:\n{words}")
            time.sleep(0.1)

    def _is_ready(self, name: str) -> bool:
        if name == "web":
            return _responds(f"{self.url}/healthz")
        words = {"ws": b"Uvicorn running", "worker": b" ready.", "emails": b" ready."}
        return words.get(name, b"") in self.log_path(name).read_bytes()


def allow_many_sockets() -> None:
    """Raise the limit of open files to its maximum. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and its living descendants."""
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
