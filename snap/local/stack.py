"""`make run`: start SNAP on this machine in order, watch it, and stop it as a whole."""

import fcntl
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import django
from django.conf import settings
from django.core.management import call_command
from redis import Redis
from redis.exceptions import RedisError

from snap.environment.foreign import remove_libpq_variables
from snap.environment.processes import METRICS_DIR, check_process_variables
from snap.local.embedded import PostgreSQL, Valkey
from snap.local.environment import (
    Addresses,
    StartError,
    complete_environment,
    find_addresses,
    process_environment,
    require_loopback,
)
from snap.local.output import LogFiles, Output, print_text
from snap.local.processes import BASE_DIR, Process, read_procfile
from snap.local.readiness import is_ready
from snap.local.static_files import collect_static_files
from snap.local.supervisor import Supervisor, describe_exit
from snap.local.welcome import commands_by_hand, welcome
from snap.resilience.workers import forget_heartbeats

VAR = BASE_DIR / "var"
READY_TIMEOUT = 60.0
# With `verbose`: seconds without output after which the addresses are shown below it.
OUTPUT_PAUSE = 1.5
CHECK_INTERVAL = 0.2
# Lines of a process's log that explain why SNAP cannot start.
LOG_LINES = 8

REDIS_LIMITS: dict[str, Any] = {"socket_connect_timeout": 2, "socket_timeout": 2}

Server = PostgreSQL | Valkey

# Set by signals. The handler's exception alone is not enough: Python ignores exceptions in some of
# its own callbacks, for example around a fork.
stop_requested = threading.Event()


def run(*, verbose: bool, without: Collection[str]) -> NoReturn:
    """Start servers, demo and processes, except those in `without`, and watch them until a signal.

    Raises StartError or EmbeddedError if something on this machine prevents the start.
    """
    catch_signals()
    try:
        with ExitStack() as cleanup:
            supervisor = start(cleanup, verbose=verbose, without=without)
            watch_until_stopped(supervisor)
    finally:
        if stop_requested.is_set():
            print_text(" stopped. The next `make run` continues with the data in var/.\n")


def start(cleanup: ExitStack, *, verbose: bool, without: Collection[str]) -> Supervisor:
    """Start everything and show the addresses. Put what undoes each step into `cleanup`."""
    os.environ.pop(METRICS_DIR, None)  # `process_environment` sets it.
    check_process_variables(os.environ)
    VAR.mkdir(exist_ok=True)
    cleanup.enter_context(single_instance(VAR / "up.lock"))
    require_loopback()
    addresses = find_addresses()
    names = process_names(without)
    logs = LogFiles(VAR / "log")
    servers = start_servers(cleanup, logs)
    computed = addresses.variables()
    for variable, server in servers.items():
        computed[variable] = server.url
    complete_environment(VAR / "env", computed)
    demo = prepare_data(addresses.local_url)

    if names:
        print_text(f"Starting {', '.join(names)}\n")
    environment = process_environment(VAR / "prometheus")
    processes = [each for each in read_procfile(environment) if each.name in names]
    output = Output(logs, names, verbose=verbose)
    supervisor = Supervisor(processes, servers.values(), output)
    cleanup.callback(supervisor.stop)
    supervisor.start()
    wait_until_ready(supervisor, addresses)
    supervisor.is_ready = True
    print_text(welcome(addresses, demo) + commands_by_hand(without, addresses))
    output.show_activity(addresses.local_url)
    return supervisor


def process_names(without: Collection[str]) -> list[str]:
    """Return the names of the Procfile's processes to start. Raises StartError for unknown ones."""
    names = [process.name for process in read_procfile({})]
    for name in without:
        if name not in names:
            raise StartError(f"there is no process {name}. There are {', '.join(names)}.")
    return [name for name in names if name not in without]


def start_servers(cleanup: ExitStack, logs: LogFiles) -> dict[str, Server]:
    """Start the servers whose address the environment does not give.

    Returns each server by the name of the variable that its address belongs into.
    """
    servers: dict[str, Server] = {}
    if not os.environ.get("DATABASE_URL"):
        remove_libpq_variables(os.environ)
        log_path = logs.path(PostgreSQL.name)
        servers["DATABASE_URL"] = PostgreSQL(VAR / PostgreSQL.name, log_path=log_path)
    if not os.environ.get("REDIS_URL"):
        servers["REDIS_URL"] = Valkey(VAR / Valkey.name, logs.path(Valkey.name))
    for server in servers.values():
        print_text(f"Starting {server.title}\n")
        if VAR not in server.data_dir.parents:
            print_text(f"  with its data in {server.data_dir}: its user has no access to {VAR}\n")
        cleanup.callback(server.stop)
        server.start()
    return servers


def prepare_data(url: str) -> str:
    """Migrate the database, load the demo and collect static files. Return the demo's sign-ins."""
    django.setup()
    require_redis()
    # The processes log their own work. Here, events would only hide the progress.
    logging.disable(logging.INFO)
    print_text("Preparing the database, the demo and the static files\n")
    call_command("migrate", verbosity=0, interactive=False)
    demo = io.StringIO()
    call_command("seed_demo", url=url, staff_password=os.environ["DEMO_PASSWORD"], stdout=demo)
    collect_static_files()
    return demo.getvalue()


def require_redis() -> None:
    """Raise StartError if Redis does not respond, or lacks one of the databases."""
    for name in ("CACHE_URL", "LIMITS_URL", "CHANNELS_URL", "BROKER_URL"):
        try:
            with Redis.from_url(getattr(settings, name), **REDIS_LIMITS) as redis:
                redis.ping()
        except RedisError as error:
            variable = name if os.environ.get(name) else "REDIS_URL"
            reason = str(error).rstrip(".")
            raise StartError(f"the Redis at {variable} does not respond: {reason}.") from error
    # Else those of a run that has just ended would say that workers are ready.
    forget_heartbeats()


def wait_until_ready(supervisor: Supervisor, addresses: Addresses) -> None:
    """Return once web and ws respond, and the workers are connected to their broker.

    Raises StartError if a process ends meanwhile, or after READY_TIMEOUT seconds.
    """
    output = supervisor.output
    deadline = time.monotonic() + READY_TIMEOUT
    for process in supervisor.processes:
        while not is_ready(process.name, addresses):
            exit_if_stopped()
            ended = supervisor.first_ended()
            if ended is not None:
                raise StartError(
                    f"{ended.name} ended ({describe_exit(ended)}).{log_end(ended, output)}"
                )
            if time.monotonic() > deadline:
                raise StartError(
                    f"{process.name} was not ready within {READY_TIMEOUT:.0f} seconds."
                    + log_end(process, output)
                )
            time.sleep(CHECK_INTERVAL)
    while output.verbose and time.monotonic() < min(output.last_output + OUTPUT_PAUSE, deadline):
        time.sleep(CHECK_INTERVAL)


def log_end(process: Process, output: Output) -> str:
    lines = output.logs.last_lines(process.name, LOG_LINES)
    return f" The end of {output.logs.path(process.name)}:\n{lines}"


def watch_until_stopped(supervisor: Supervisor) -> NoReturn:
    while True:
        exit_if_stopped()
        supervisor.check()
        time.sleep(CHECK_INTERVAL)


def exit_if_stopped() -> None:
    if stop_requested.is_set():
        sys.exit(0)


def catch_signals() -> None:
    """Make SIGINT (Ctrl-C), SIGTERM and SIGHUP stop everything in order, once."""
    caught = [signal.SIGINT, signal.SIGTERM]
    # `nohup make run` ignores SIGHUP.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        stop_requested.set()
        print_text("\nStopping SNAP ...")
        sys.exit(0)

    for each in caught:
        signal.signal(each, stop)


@contextmanager
def single_instance(path: Path) -> Iterator[None]:
    """Hold the lock file of this checkout. Raises StartError if another `make run` holds it."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StartError(
                f"it already runs in this folder. Stop it first: kill {lock.read()}"
            ) from error
        # A run that ends removes the file, perhaps after it was opened here.
        if not (path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat())):
            raise StartError("the earlier run has just stopped. Try again.")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
