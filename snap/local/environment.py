"""The environment that `make run` gives to settings and to the Procfile's processes."""

import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

# Variables that each run computes again. The other lines of var/env stay as they are.
COMPUTED = (
    "DATABASE_URL",
    "REDIS_URL",
    "PUBLIC_URL",
    "ALLOWED_HOSTS",
    "WEBSOCKET_PORT",
    "WEBSOCKET_ORIGINS",
)
ALL_INTERFACES = "0.0.0.0"  # noqa: S104  # nosec B104


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
        if self.host == ALL_INTERFACES:
            return "127.0.0.1"
        return self.host

    @property
    def local_url(self) -> str:
        return f"http://localhost:{self.web_port}"

    def variables(self) -> dict[str, str]:
        """Return the variables of settings that name these addresses."""
        names = ["localhost", "127.0.0.1"]
        if self.lan_host not in names:
            names.append(self.lan_host)
        origins = [f"http://{name}:{self.web_port}" for name in names]
        return {
            "PUBLIC_URL": f"http://{self.lan_host}:{self.web_port}",
            "ALLOWED_HOSTS": ",".join(names),
            "WEBSOCKET_ORIGINS": ",".join(origins),
            "WEBSOCKET_PORT": str(self.ws_port),
        }


def find_addresses() -> Addresses:
    """Return the addresses that WEB_HOST, WEB_PORT and WS_PORT name, or their defaults.

    Raises StartError if a port cannot be used.
    """
    host = os.environ.setdefault("WEB_HOST", ALL_INTERFACES)
    lan_host: str | None = host
    if host == ALL_INTERFACES:
        lan_host = lan_address()
    # One name for this machine: a cookie of localhost is not sent to 127.0.0.1.
    if lan_host is None or lan_host in {"127.0.0.1", "::1"}:
        lan_host = "localhost"
    return Addresses(host, usable_port("WEB_PORT", 8000), usable_port("WS_PORT", 8001), lan_host)


def usable_port(variable: str, default: int) -> int:
    """Return the port in an environment variable. Raises StartError if no process can use it."""
    value = os.environ.setdefault(variable, str(default))
    if not (value.isdecimal() and 0 < int(value) < 65536):
        raise StartError(f"{variable}={value} is not a port number.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((os.environ["WEB_HOST"], int(value)))
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise StartError(
                f"port {value} cannot be used ({reason})."
                f" Choose another one: {variable}={int(value) + 10} make run"
            ) from error
    return int(value)


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
    Lines that people added to the file stay.
    """
    kept = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "EMAIL_PROVIDER": "console",
        "INBOX_TOKEN": secrets.token_urlsafe(16),
        "DEMO_PASSWORD": secrets.token_hex(8),
    }
    for name, value in read_environment(path).items():
        if name not in COMPUTED:
            kept[name] = value
    written = dict(kept)
    for name, value in (kept | computed).items():
        if name not in os.environ:
            os.environ[name] = value
            written[name] = value
    text = "# Written by `make run`. Real environment variables win.\n"
    for name, value in written.items():
        text += f"{name}={value}\n"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def read_environment(path: Path) -> dict[str, str]:
    """Return the variables in `path`; none if the file does not exist."""
    variables: dict[str, str] = {}
    if not path.exists():
        return variables
    for line in path.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            variables[name] = value
    return variables


def process_environment(metrics_dir: Path) -> dict[str, str]:
    """Return the environment of the Procfile's processes. Empties the folder for metrics."""
    shutil.rmtree(metrics_dir, ignore_errors=True)
    metrics_dir.mkdir()
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        # Celery's warning has eight lines. In development, root is an ordinary user.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir),
        "PYTHONUNBUFFERED": "1",
    }
