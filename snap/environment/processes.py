"""Checks the variables that the Procfile's commands read, before a server program reads them."""

import re
from collections.abc import MutableMapping
from pathlib import Path

from snap.environment.errors import SettingError
from snap.environment.values import Environment, shown

NUMBERS = ("WEB_WORKERS", "WEB_WAITING_THREADS", "WORKER_CONCURRENCY")
PORTS = ("WEB_PORT", "WS_PORT")
HOSTS = ("WEB_HOST", "WEB_METRICS_HOST")
METRICS_PORT = "WEB_METRICS_PORT"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"


def check_process_variables(environ: MutableMapping[str, str]) -> None:
    """Raise SettingError for a variable of the Procfile with which no process can start.

    An empty folder for metrics counts as not set, as it does for all other settings. A folder that
    cannot be written prevents nothing: SNAP serves without it (snap/metering/files.py).
    """
    env = Environment(environ, Path.cwd())
    for name in NUMBERS:
        env.int(name, 1)
    for name in PORTS:
        env.port(name, 8000)
    env.port(METRICS_PORT, 0, least=0)
    for name in HOSTS:
        host = env.str(name, "127.0.0.1")
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
            raise SettingError(
                f"{name} must be an address of this machine such as 0.0.0.0, not {shown(host)}."
            )
    # The library for metrics also reads this name, and any text as a folder.
    environ.pop(METRICS_DIR.lower(), None)
    if not env.str(METRICS_DIR, "").strip():
        environ.pop(METRICS_DIR, None)
