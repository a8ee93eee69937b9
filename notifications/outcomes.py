"""What the mail provider answered, kept on this host until the database has it.

Each answer is written to a local file at once and to the database after that. An email that left is
therefore not sent again when the database is away or the worker is killed in between. The file lies
beside the emergency journal; it holds no address and no text.
"""

import logging
import os
import shutil
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from django.conf import settings

from notifications.delivery import Outcome, Result
from notifications.models import Email

log = logging.getLogger(__name__)

FILE_NAME = "outcomes.sqlite3"
SCHEMA = """
CREATE TABLE IF NOT EXISTS outcome (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email_id INTEGER NOT NULL,
    queued_at TEXT NOT NULL,
    result TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    error TEXT NOT NULL,
    kept_at REAL NOT NULL,
    UNIQUE (email_id, queued_at)
)
"""
# The newest outcomes are kept, on disk and in memory. The oldest are dropped.
MOST_KEPT = 10_000
ROOM = 1_000_000  # bytes below which a disk counts as full, as for the emergency journal
LOCK_TIMEOUT = 0.5  # seconds to wait for another process that writes

# What this process keeps while the disk is away.
_memory: "OrderedDict[tuple[int, datetime], KeptOutcome]" = OrderedDict()
_memory_lock = threading.Lock()


@dataclass(frozen=True)
class KeptOutcome:
    """The provider's answer to one email. Staff who send it again give it another `queued_at`."""

    email_id: int
    queued_at: datetime
    outcome: Outcome
    kept_at: float

    @property
    def key(self) -> tuple[int, datetime]:
        return self.email_id, self.queued_at


class KeptOutcomes:
    """The kept outcomes, opened for one batch. No method raises when the disk is away.

    Several processes share the file. A write survives the end of its process; `sync` makes it
    survive a crash of the machine as well.
    """

    def __init__(self) -> None:
        self._path = settings.JOURNAL_PATH.with_name(FILE_NAME)
        self._file: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._file = _connection_of_thread(self._path)
        except (sqlite3.Error, OSError) as error:
            self._lose(error)
        return self

    def __exit__(self, *exception: object) -> None:
        self._file = None

    def add(self, email: Email, outcome: Outcome) -> None:
        """Keep an outcome on the disk, or in memory while the disk is away."""
        kept = KeptOutcome(email.pk, email.queued_at, outcome, time.time())
        if not self._write(
            "INSERT OR REPLACE INTO outcome"
            " (email_id, queued_at, result, provider_id, error, kept_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                kept.email_id,
                kept.queued_at.isoformat(),
                outcome.result.name,
                outcome.provider_id,
                outcome.error,
                kept.kept_at,
            ],
        ):
            _remember(kept)
            return
        self._write(
            "DELETE FROM outcome WHERE id <= (SELECT max(id) FROM outcome) - ?", [MOST_KEPT]
        )

    def sync(self) -> None:
        """Have everything that was written on the disk itself, for a longer outage."""
        self._write("PRAGMA wal_checkpoint(FULL)", [])

    def find(self, *, older_than: float = 0) -> list[KeptOutcome]:
        """Return what is kept for at least so many seconds, the oldest first."""
        with _memory_lock:
            kept = list(_memory.values())
        kept += [_read(row) for row in self._rows()]
        latest = time.time() - older_than
        return [each for each in kept if each.kept_at <= latest]

    def remove(self, keys: Iterable[tuple[int, datetime]]) -> None:
        """Forget outcomes that the database has."""
        given = list(keys)
        with _memory_lock:
            for key in given:
                _memory.pop(key, None)
        rows = [(email_id, queued_at.isoformat()) for email_id, queued_at in given]
        if self._file is None or not rows:
            return
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("DELETE FROM outcome WHERE email_id = ? AND queued_at = ?", rows)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._lose(error)

    def _rows(self) -> list[tuple[int, str, str, str, str, float]]:
        if self._file is None:
            return []
        try:
            return self._file.execute(
                "SELECT email_id, queued_at, result, provider_id, error, kept_at FROM outcome"
                " ORDER BY id"
            ).fetchall()
        except sqlite3.Error as error:
            self._lose(error)
            return []

    def _write(self, statement: str, values: list[object]) -> bool:
        if self._file is None:
            return False
        try:
            if shutil.disk_usage(self._path.parent).free <= ROOM:
                raise OSError("the disk is full")
            self._file.execute(statement, values)
        except (sqlite3.Error, OSError) as error:
            self._lose(error)
            return False
        return True

    def _lose(self, error: Exception) -> None:
        """Go on without the file, for the rest of this batch."""
        log.warning("outcomes_in_memory_only", extra={"error": type(error).__name__})
        _threads.opened = self._file = None


class _Threads(threading.local):
    """Each thread's open connection, with the process and the file that it belongs to."""

    opened: tuple[int, int, sqlite3.Connection] | None = None


_threads = _Threads()


def _connection_of_thread(path: Path) -> sqlite3.Connection:
    """Return a connection that stays open: the last one to close a file in WAL mode takes 2 ms.

    Opens a new one after a fork, and for a file that was replaced.
    """
    if _threads.opened is not None:
        process, inode, file = _threads.opened
        if process == os.getpid() and path.exists() and path.stat().st_ino == inode:
            return file
    file = _open(path)
    _threads.opened = (os.getpid(), path.stat().st_ino, file)
    return file


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    file = sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None)
    try:
        # In WAL mode a commit is in the kernel's hands without a wait for the disk.
        file.execute("PRAGMA synchronous = NORMAL")
        _prepare(file)
    except sqlite3.Error:
        file.close()
        raise
    return file


def _prepare(file: sqlite3.Connection) -> None:
    """Make the table. SQLite does not wait for another process that changes the file to WAL."""
    give_up_at = time.monotonic() + LOCK_TIMEOUT
    while not file.execute("PRAGMA table_info(outcome)").fetchone():
        try:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute(SCHEMA)
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


def _remember(kept: KeptOutcome) -> None:
    with _memory_lock:
        _memory[kept.key] = kept
        while len(_memory) > MOST_KEPT:
            _memory.popitem(last=False)


def _read(row: tuple[int, str, str, str, str, float]) -> KeptOutcome:
    email_id, queued_at, result, provider_id, error, kept_at = row
    outcome = Outcome(Result[result], provider_id=provider_id, error=error)
    return KeptOutcome(email_id, datetime.fromisoformat(queued_at), outcome, kept_at)
