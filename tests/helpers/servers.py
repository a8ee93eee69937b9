"""The servers and the environment that the tests run with, before Django reads its settings."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from django.db import connections
from redis import Redis

from snap.embedded import PostgreSQL, Valkey

# What settings must be given, and what `make run` may have left in var/env: tests look at neither.
ENVIRONMENT = {
    "SECRET_KEY": "only-for-tests-and-long-enough-to-be-taken-for-a-real-one-0123456789",
    "PUBLIC_URL": "http://localhost:8000",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "WEBSOCKET_PORT": "0",
    "WEBSOCKET_ORIGINS": "localhost",
    "EMAIL_PROVIDER": "console",
    # Everybody comes from one address here. Tests of limits set their own.
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

# The servers that were started here; tests that break one take it from this module.
postgresql: PostgreSQL | None = None
valkey: Valkey | None = None
# The emergency journal of the tests and their stack.
journal: Path | None = None


def start() -> None:
    """Set the environment, and start what DATABASE_URL and REDIS_URL do not name already."""
    os.environ.update(ENVIRONMENT)
    if "PYTEST_VERSION" in os.environ:
        _start_servers()
    # mypy reads the settings too; it asks no server.
    for name, value in UNUSED.items():
        os.environ.setdefault(name, value)


def _start_servers() -> None:
    global postgresql, valkey, journal
    folder = Path(tempfile.mkdtemp(prefix="snap-tests-"))
    # PostgreSQL's own user must be able to pass when the tests run as root.
    folder.chmod(0o711)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for variable in ("MEDIA_ROOT", "INBOX_DIR", "STATIC_ROOT"):
        place = folder / variable.lower()
        place.mkdir()
        os.environ[variable] = str(place)
    # One for all processes of tests: to compress them takes 2 s of CPU.
    os.environ.setdefault("COLLECTED_STATIC", str(folder / "collected"))
    os.environ["SLOTS_DIR"] = str(folder / "slots")
    journal = folder / "journal.sqlite3"
    os.environ["JOURNAL_PATH"] = str(journal)
    if "DATABASE_URL" not in os.environ:
        # A crash of the machine may cost these data; a crash of the server may not, and does not.
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
    """Say whether both servers were started here."""
    return postgresql is not None and valkey is not None


def stop() -> None:
    """Stop the servers that were started here, and forget their addresses."""
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
        # Those of a test before this one would still lead to the server that was stopped.
        connections.close_all()
    if valkey is None:
        return
    if not valkey.is_running():
        valkey.start()
    for database in ("0", "1", "2"):
        _redis(f"{valkey.url}/{database}").flushdb()
    broker = _redis(f"{valkey.url}/3")
    # Workers write down once, when they start, which queues they read; that stays.
    if keys := [key for key in broker.scan_iter() if not key.startswith(b"_kombu.")]:
        broker.delete(*keys)


def empty_journal() -> None:
    """Remove the emergency journal of the tests and their stack, and what lies beside it."""
    assert journal is not None
    for name in (f"{journal.name}*", "places-*", "outcomes.sqlite3*"):
        for file in journal.parent.glob(name):
            file.unlink(missing_ok=True)


@cache
def _redis(url: str) -> Redis:
    return Redis.from_url(url)
