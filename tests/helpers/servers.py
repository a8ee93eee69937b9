"""Servers and environment of the tests, set before Django reads its settings."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from django.db import connections
from redis import Redis

from snap.environment.foreign import remove_foreign_variables, remove_libpq_variables
from snap.local.embedded import PostgreSQL, Valkey
from snap.resilience.workers import PREFIX

# Settings without a default, and those that `make run` may have left in var/env.
ENVIRONMENT = {
    "SECRET_KEY": "only-for-tests-and-long-enough-to-be-taken-for-a-real-one-0123456789",
    "PUBLIC_URL": "http://localhost:8000",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "WEBSOCKET_PORT": "0",
    "WEBSOCKET_ORIGINS": "localhost",
    "EMAIL_PROVIDER": "console",
    # All requests of the tests come from one address. Tests of limits set their own.
    **dict.fromkeys(
        (
            "LIMIT_IP",
            "LIMIT_PHONE",
            "LIMIT_PHONES_BROWSER",
            "LIMIT_PHONES_ADDRESS",
            "LIMIT_PHONES_NEAR",
            "LIMIT_PHONES_BLOCK",
            "LIMIT_SIGN_IN",
            "LIMIT_STAFF",
            "LIMIT_SOCKETS",
            "LIMIT_SOCKETS_ADDRESS",
            "LIMIT_EVENT",
            "LIMIT_SYSTEM",
            "LIMIT_PHONE_CHECK",
            "LIMIT_GUEST_CREATE",
            "LIMIT_PROMO_PAGES",
            "LIMIT_EMAILS",
            "ACCOUNTS_PER_EMAIL",
            "EMAILS_PER_RECIPIENT",
        ),
        "1000000",
    ),
}
UNUSED = {"DATABASE_URL": "postgres://localhost/snap", "REDIS_URL": "redis://localhost"}

# The tests ask nothing of the outside. Clients of HTTP, browsers too, would go through a proxy.
PROXIES = [
    variable
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for variable in (name, name.upper())
]

# The servers that this module has started. Tests stop them through it.
postgresql: PostgreSQL | None = None
valkey: Valkey | None = None
# The emergency journal of the tests and their stack.
journal: Path | None = None


def start() -> None:
    """Set the environment, and start the servers that DATABASE_URL and REDIS_URL do not name."""
    remove_foreign_variables(os.environ)
    for name in PROXIES:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    if "PYTEST_VERSION" in os.environ:
        _start_servers()
    # mypy reads the settings too, and needs no server.
    for name, value in UNUSED.items():
        os.environ.setdefault(name, value)


def _start_servers() -> None:
    global postgresql, valkey, journal
    folder = Path(tempfile.mkdtemp(prefix="snap-tests-"))
    # When the tests run as root, PostgreSQL runs as another user, which must reach its folder.
    folder.chmod(0o711)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for variable in ("MEDIA_ROOT", "INBOX_DIR", "STATIC_ROOT"):
        place = folder / variable.lower()
        place.mkdir()
        os.environ[variable] = str(place)
    # All test processes share the collected files, because compressing them takes 2 s of CPU.
    os.environ.setdefault("COLLECTED_STATIC", str(folder / "collected"))
    os.environ["SLOTS_DIR"] = str(folder / "slots")
    journal = folder / "journal.sqlite3"
    os.environ["JOURNAL_PATH"] = str(journal)
    if "DATABASE_URL" not in os.environ:
        remove_libpq_variables(os.environ)
        # Without fsync a crash of the machine loses data, but a crash of the server does not.
        postgresql = PostgreSQL(folder / "postgresql", settings={"fsync": "off"})
        atexit.register(postgresql.stop)
        postgresql.start()
        os.environ["DATABASE_URL"] = postgresql.url
    if "REDIS_URL" not in os.environ:
        valkey = Valkey(folder / "valkey")
        atexit.register(valkey.stop)
        valkey.start()
        os.environ["REDIS_URL"] = valkey.url


def are_ours() -> bool:
    """Say whether this module has started both servers."""
    return postgresql is not None and valkey is not None


def stop() -> None:
    """Stop the servers that this module has started, and remove their addresses."""
    if postgresql is not None:
        postgresql.stop()
        del os.environ["DATABASE_URL"]
    if valkey is not None:
        valkey.stop()
        del os.environ["REDIS_URL"]


def freshen() -> None:
    """Start our servers again if a test has stopped them, and empty our Valkey."""
    if postgresql is not None and not postgresql.is_running():
        postgresql.start()
        # Open connections still lead to the stopped server.
        connections.close_all()
    if valkey is None:
        return
    if not valkey.is_running():
        valkey.start()
    for database in ("0", "1", "2"):
        _redis(f"{valkey.url}/{database}").flushdb()
    broker = _redis(f"{valkey.url}/3")
    # Workers register their queues only when they start, so those keys must stay. Without those of
    # their heartbeats each test would wait for the next one.
    kept = (b"_kombu.", PREFIX.encode())
    if keys := [key for key in broker.scan_iter() if not key.startswith(kept)]:
        broker.delete(*keys)


def empty_journal() -> None:
    """Remove the journal of the tests and their stack, and the other files of an outage."""
    assert journal is not None
    for name in (f"{journal.name}*", "places-*", "outcomes.sqlite3*"):
        for file in journal.parent.glob(name):
            file.unlink(missing_ok=True)


@cache
def _redis(url: str) -> Redis:
    return Redis.from_url(url)
