"""`make run`: everything SNAP needs on one machine, started, watched and stopped together."""

import fcntl
import hashlib
import io
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError
from honcho.colour import get_colours
from honcho.printer import Message, Printer

from snap.local import processes
from snap.local.embedded import EmbeddedError, PostgreSQL, Valkey
from snap.local.processes import BASE_DIR, Process

VAR = BASE_DIR / "var"
# What is worked out anew by each run; the rest of var/env is kept as it is.
WORKED_OUT = (
    "DATABASE_URL",
    "REDIS_URL",
    "PUBLIC_URL",
    "ALLOWED_HOSTS",
    "WEBSOCKET_PORT",
    "WEBSOCKET_ORIGINS",
)
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # nosec B104

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
# Seconds without a line of output after which the addresses are printed, to stay the last block.
QUIET = 1.5
# Seconds before a process that ended by itself is started again.
RESTART_PAUSE = 1.0
# A server that ends within so many seconds of its start is given longer and longer pauses.
SERVER_LIVES = 60.0
LONGEST_SERVER_PAUSE = 30.0

# Set when it was told to stop. To exit in the handler is not enough: Python ignores what is raised
# in callbacks of its own, as it has around each fork.
told_to_stop = threading.Event()


class CannotStart(Exception):  # noqa: N818 (it reads as what is told: SNAP cannot start)
    """Something on this machine is in the way; its text says what, and what to do."""


class Command(BaseCommand):
    """Run by manage.py before settings are read: it makes the environment they are read from."""

    help = "Start SNAP on this machine: servers, demo event and all processes, until Ctrl-C."
    requires_system_checks = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.servers: list[PostgreSQL | Valkey] = []

    def handle(self, *args: Any, **options: Any) -> None:
        catch_signals()
        try:
            with ExitStack() as cleanup:
                self.run(cleanup)
        except (CannotStart, EmbeddedError) as error:
            sys.exit(f"SNAP cannot start: {error}")
        except OperationalError as error:
            reason = " ".join(str(error).split())
            sys.exit(f"SNAP cannot start: the database at DATABASE_URL does not answer: {reason}")
        except OSError as error:
            sys.exit(f"SNAP cannot start: {error.strerror}: {error.filename}")

    def run(self, cleanup: ExitStack) -> None:
        """Start everything in order, leaving in `cleanup` how each is stopped, and watch it."""
        host = os.environ.setdefault("WEB_HOST", ANY_ADDRESS)
        VAR.mkdir(exist_ok=True)
        cleanup.enter_context(only_one(VAR / "up.lock"))
        web_port, ws_port = free_port_of("WEB_PORT", 8000), free_port_of("WS_PORT", 8001)
        servers = self.start_servers(cleanup)
        own = lan_address() if host == ANY_ADDRESS else host
        if own in {"127.0.0.1", "::1"}:
            own = "localhost"  # One name: cookies of the one are not sent to the other.
        names = list(dict.fromkeys(["localhost", "127.0.0.1", own or "localhost"]))
        addresses = {
            "PUBLIC_URL": f"http://{own or 'localhost'}:{web_port}",
            "ALLOWED_HOSTS": ",".join(names),
            "WEBSOCKET_ORIGINS": ",".join(f"http://{name}:{web_port}" for name in names),
            "WEBSOCKET_PORT": str(ws_port),
        }
        write_environment(VAR / "env", servers | addresses)

        django.setup()
        # From here on others do the work; what this process notes while it loads the demo would
        # only push away what `make run` has to say.
        logging.disable(logging.INFO)
        call_command("migrate", verbosity=0, interactive=False)
        collect_static()
        seeded = io.StringIO()
        call_command("seed_demo", stdout=seeded)

        watch = Watch(processes.read_procfile(process_environment()), self.servers)
        cleanup.callback(watch.stop)
        watch.start()
        watch.wait_until_ready(host, web_port, ws_port)
        self.stdout.write(invitation(web_port, seeded.getvalue()))
        self.stdout.flush()
        watch.forever()

    def start_servers(self, cleanup: ExitStack) -> dict[str, str]:
        """Start the servers whose address is not given, and return the variables that name them."""
        addresses = {}
        for variable, server_class, name in (
            ("DATABASE_URL", PostgreSQL, "postgresql"),
            ("REDIS_URL", Valkey, "valkey"),
        ):
            if variable in os.environ:
                continue
            server = server_class(VAR / name)
            if VAR not in server.data_dir.parents:
                self.stdout.write(
                    f"{server.title} keeps its data in {server.data_dir}:"
                    " the user it must run as cannot enter this folder."
                )
            cleanup.callback(server.stop)
            server.start()
            self.servers.append(server)
            addresses[variable] = server.url
        return addresses


@dataclass
class ServerWatch:
    """A server of ours, and when it may be started again after it has died."""

    server: PostgreSQL | Valkey
    started_at: float = field(default_factory=time.monotonic)
    start_at: float | None = None
    deaths: int = 0

    @property
    def name(self) -> str:
        return self.server.title.lower()

    def look(self) -> str:
        """Start the server again if it has died and its pause is over. Return what happened."""
        now = time.monotonic()
        if self.start_at is None:
            return "" if self.server.is_running() else self._note_death(now)
        return "" if now < self.start_at else self._start()

    def _note_death(self, now: float) -> str:
        lived_well = now > self.started_at + SERVER_LIVES
        self.deaths = 1 if lived_well else self.deaths + 1
        pause = min(2.0 ** (self.deaths - 1), LONGEST_SERVER_PAUSE) if self.deaths > 1 else 0
        self.start_at = now + pause
        if not pause:
            return "ended by itself; starting it again with its data"
        return (
            f"ended {self.deaths} times in a row; starting it again in {pause:.0f} s."
            f" Its log says why: {self.server.log_path}"
        )

    def _start(self) -> str:
        try:
            self.server.start()
        except EmbeddedError as error:
            return f"{error} {self._note_death(time.monotonic())}"
        self.started_at, self.start_at = time.monotonic(), None
        return f"works again, on port {self.server.port}"


class Watch:
    """The Procfile's processes and the servers below them: their output is printed, and whatever
    ends is started again.
    """

    def __init__(self, watched: list[Process], servers: Iterable[PostgreSQL | Valkey] = ()) -> None:
        self.processes = watched
        self.servers = [ServerWatch(server) for server in servers]
        names = [process.name for process in watched] + [each.name for each in self.servers]
        self.colours = dict(zip(names, get_colours(), strict=False))
        self.printer = Printer(sys.stdout, width=max(len(name) for name in names))
        self.lock = threading.Lock()
        self.last_output = time.monotonic()

    def start(self) -> None:
        for process in self.processes:
            self.start_one(process)

    def start_one(self, process: Process) -> None:
        output = process.start(subprocess.PIPE)
        threading.Thread(target=self.relay, args=(process.name, output), daemon=True).start()

    def relay(self, name: str, output: IO[bytes]) -> None:
        """Print what a process says until it closes its output."""
        with output:
            for line in output:
                self.say(name, line)

    def say(self, name: str, line: bytes | str) -> None:
        now = datetime.now().astimezone()
        with self.lock:
            self.last_output = time.monotonic()
            self.printer.write(Message("line", line, now, name, self.colours[name]))

    def restart_the_ended(self) -> None:
        if told_to_stop.is_set():
            sys.exit(0)
        for server in self.servers:
            if happened := server.look():
                self.say(server.name, happened)
        for process in self.processes:
            if not process.is_running():
                self.say(process.name, "ended by itself; starting it again")
                # Children whose leader was killed would keep its port.
                process.kill()
                time.sleep(RESTART_PAUSE)
                self.start_one(process)

    def wait_until_ready(self, host: str, web_port: int, ws_port: int) -> None:
        """Return once web and websockets answer and the first flood of output is over.

        Raises CannotStart after READY_TIMEOUT seconds.
        """
        own = "127.0.0.1" if host == ANY_ADDRESS else host
        deadline = time.monotonic() + READY_TIMEOUT
        while not (says_ready(own, web_port) and accepts(own, ws_port)):
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"it was not ready within {READY_TIMEOUT:.0f} seconds; its last words are above"
                )
            self.restart_the_ended()
            time.sleep(0.2)
        while time.monotonic() < min(self.last_output + QUIET, deadline):
            time.sleep(0.1)

    def forever(self) -> NoReturn:
        while True:
            self.restart_the_ended()
            time.sleep(0.2)

    def stop(self) -> None:
        processes.stop(self.processes, STOP_TIMEOUT)


def catch_signals() -> None:
    """Make Ctrl-C, SIGTERM and SIGHUP stop everything in order; a second one changes nothing."""
    caught = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        caught.remove(signal.SIGHUP)  # It was started with nohup.

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        told_to_stop.set()
        sys.exit(0)

    for each in caught:
        signal.signal(each, stop)


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock of this checkout. Raises CannotStart if another `make run` holds it."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise CannotStart(
                f"it already runs in this folder (process {lock.read()}); stop that one first."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def free_port_of(variable: str, default: int) -> int:
    """Return the port that `variable` names. Raises CannotStart if nobody could listen on it."""
    value = os.environ.setdefault(variable, str(default))
    if not (value.isdecimal() and 0 < int(value) < 65536):
        raise CannotStart(f"{variable}={value} is not a port number.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((os.environ["WEB_HOST"], int(value)))
        except OSError as error:
            raise CannotStart(
                f"port {value} cannot be used ({(error.strerror or '').lower()});"
                f" choose another one: {variable}={int(value) + 10} make run"
            ) from error
    return int(value)


def lan_address() -> str | None:
    """Return this machine's address on its own network, if it is on one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


def write_environment(path: Path, worked_out: dict[str, str]) -> None:
    """Complete the process's environment and keep what was added in `path`, for other commands.

    Real variables win. The secret key and the inbox's key are made once; lines that people added to
    the file stay.
    """
    kept = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "EMAIL_PROVIDER": "console",
        "INBOX_TOKEN": secrets.token_urlsafe(16),
    }
    kept |= {
        name: value for name, value in read_environment(path).items() if name not in WORKED_OUT
    }
    added = {name: value for name, value in (kept | worked_out).items() if name not in os.environ}
    os.environ.update(added)
    # A secret key that stands in the real environment is not a reason to forget the file's own.
    lines = [f"{name}={value}\n" for name, value in (kept | added).items()]
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text("# Written by `make run`; real environment variables win.\n" + "".join(lines))


def read_environment(path: Path) -> dict[str, str]:
    """Return the variables in `path`; none if there is no such file."""
    if not path.exists():
        return {}
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, found, value in lines if found and not name.startswith("#")}


def process_environment() -> dict[str, str]:
    """Return the environment of the Procfile's processes, with an empty folder for metrics."""
    folder = VAR / "prometheus"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        # Celery says it on eight lines each time; on one's own machine root is nobody special.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


def collect_static() -> None:
    """Collect and compress static files, unless none has changed since the last time."""
    mark = Path(settings.STATIC_ROOT) / ".digest"
    digest = static_digest()
    if mark.exists() and mark.read_text() == digest:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    mark.write_text(digest)


def static_digest() -> str:
    """Return what changes when a static file is added, changed or removed."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            status = os.stat(storage.path(path))
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def says_ready(host: str, port: int) -> bool:
    # Under the public name, since SNAP answers to no other that it was not told of.
    request = urllib.request.Request(
        f"http://{host}:{port}/readyz", headers={"Host": urlsplit(settings.PUBLIC_URL).netloc}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # nosec B310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def invitation(web_port: int, seeded: str) -> str:
    """Return the block of addresses that `make run` ends its start with."""
    own = f"http://localhost:{web_port}"
    lines = [
        "",
        "SNAP is running. Ctrl-C stops it; its data stay.",
        "",
        f"  Guests       {own}/promo/",
        f"  Staff        {own}/admin/",
    ]
    if settings.INBOX_PAGE:
        lines.append(f"  Emails sent  {own}/inbox/")
    if own != settings.PUBLIC_URL:
        lines.append(f"  On a phone   {settings.PUBLIC_URL}/promo/   (same network)")
        if settings.INBOX_PAGE and settings.INBOX_TOKEN:
            lines.append(f"               {settings.PUBLIC_URL}/inbox/?key={settings.INBOX_TOKEN}")
    lines += ["", *(f"  {line}" for line in seeded.splitlines())]
    return "\n".join(lines).rstrip() + "\n"
