"""The environment that `make run` gives to settings and to the Procfile's processes."""

import errno
import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from snap.environment.file import read_file, update_file
from snap.environment.foreign import PYTHON

# Variables that each run computes again. The other lines of var/env stay as they are.
COMPUTED = (
    "DATABASE_URL",
    "REDIS_URL",
    "PUBLIC_URL",
    "ALLOWED_HOSTS",
    "WEBSOCKET_PORT",
    "WEBSOCKET_ORIGINS",
)
# Addresses that stand for all interfaces, with the one by which this machine reaches itself.
ALL_INTERFACES = "0.0.0.0"  # noqa: S104  # nosec B104
LOOPBACK = {ALL_INTERFACES: "127.0.0.1", "::": "::1"}
# Errors of a port. All others are about the address.
PORT_ERRORS = (errno.EADDRINUSE, errno.EACCES)


class StartError(Exception):
    """SNAP cannot start on this machine. The text says why, and what to do."""


@dataclass(frozen=True)
class Addresses:
    """Where the web and websocket processes listen, and this machine's name in its network."""

    host: str
    web_port: int
    ws_port: int
    lan_host: str

    @property
    def local_host(self) -> str:
        """The host under which this machine reaches its own processes."""
        return LOOPBACK.get(self.host, self.host)

    @property
    def local_url(self) -> str:
        return f"http://localhost:{self.web_port}"

    def variables(self) -> dict[str, str]:
        """Return the variables of settings that name these addresses."""
        names = ["localhost", "127.0.0.1"]
        if self.lan_host not in names:
            names.append(bracketed(self.lan_host))
        origins = [f"http://{name}:{self.web_port}" for name in names]
        return {
            "PUBLIC_URL": f"http://{bracketed(self.lan_host)}:{self.web_port}",
            "ALLOWED_HOSTS": ",".join(names),
            "WEBSOCKET_ORIGINS": ",".join(origins),
            "WEBSOCKET_PORT": str(self.ws_port),
        }


def require_loopback() -> None:
    """Raise StartError if this machine cannot reach itself, for example in a bare container."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=2).close()
    except OSError as error:
        raise StartError(
            "this machine does not reach itself at 127.0.0.1, because its loopback interface is"
            " down. As root: ip link set lo up"
        ) from error


def find_addresses() -> Addresses:
    """Return the addresses that WEB_HOST, WEB_PORT and WS_PORT name, or their defaults.

    Raises StartError if a port cannot be used.
    """
    host = given_or_default("WEB_HOST", ALL_INTERFACES)
    lan_host: str | None = host
    if host in LOOPBACK:
        lan_host = lan_address()
    # One name for this machine: a cookie of localhost is not sent to 127.0.0.1.
    if lan_host is None or lan_host in {"127.0.0.1", "::1"}:
        lan_host = "localhost"
    return Addresses(host, usable_port("WEB_PORT", 8000), usable_port("WS_PORT", 8001), lan_host)


def usable_port(variable: str, default: int) -> int:
    """Return the port in an environment variable. Raises StartError if no process can use it.

    `check_process_variables` has seen that it is a number.
    """
    port = int(given_or_default(variable, str(default)))
    host = os.environ["WEB_HOST"]
    try:
        bind(host, port)
    except OSError as error:
        reason = (error.strerror or "").lower()
        if error.errno not in PORT_ERRORS:
            raise StartError(
                f"WEB_HOST={host} is no address of this machine ({reason})."
                f" Leave it out for all interfaces, or use WEB_HOST=127.0.0.1 make run"
            ) from error
        raise StartError(
            f"port {port} cannot be used ({reason})."
            f" Choose another one: {variable}={another_port(port)} make run"
        ) from error
    return port


def given_or_default(variable: str, default: str) -> str:
    """Return an environment variable, which is set to the default if it is empty."""
    value = os.environ.get(variable, "").strip() or default
    os.environ[variable] = value
    return value


def bind(host: str, port: int) -> None:
    """Use a port for a moment. Raises OSError if the host or the port cannot be used."""
    [address, *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, place = address
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)


def another_port(port: int) -> int:
    """Return a port that an ordinary user may use, to be tried instead of this one."""
    if port < 1024:
        return port + 8000
    if port > 65_000:
        return port - 10_000
    return port + 10


def bracketed(host: str) -> str:
    """Return a host as it stands in an address: IPv6 in brackets."""
    if ":" in host:
        return f"[{host}]"
    return host


def lan_address() -> str | None:
    """Return this machine's address in its network, or None without one. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    if address.startswith("127."):
        return None
    return address


def complete_environment(path: Path, computed: dict[str, str]) -> None:
    """Add the variables of this run to os.environ and write them to `path` for other commands.

    Variables that are already in os.environ win. Keys and the demo's password are generated once.
    All other lines of the file stay.
    """
    generated = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "EMAIL_PROVIDER": "console",
        "INBOX_TOKEN": secrets.token_urlsafe(16),
        "DEMO_PASSWORD": secrets.token_hex(8),
    }
    kept = read_file(path)
    written = {}
    for name, value in generated.items():
        if name not in kept:
            written[name] = kept[name] = value
    for name, value in computed.items():
        kept.pop(name, None)
        if not os.environ.get(name):
            written[name] = os.environ[name] = value
    for name in COMPUTED:
        kept.pop(name, None)
    for name, value in kept.items():
        if not os.environ.get(name):
            os.environ[name] = value
    update_file(path, written, remove=frozenset(COMPUTED))


def process_environment(metrics_dir: Path) -> dict[str, str]:
    """Return the environment of the Procfile's processes. Empties the folder for metrics."""
    shutil.rmtree(metrics_dir, ignore_errors=True)
    metrics_dir.mkdir()
    given = {name: value for name, value in os.environ.items() if name not in PYTHON}
    return given | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        # Celery's warning has eight lines. In development, root is an ordinary user.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
