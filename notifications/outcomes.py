"""Kept outcomes: the mail provider's responses, on this host's disk until the database has them.

A note that an email is being handed over is written to a local file before the provider gets it.
The response replaces it there, and is written to the database after that. So a sent email is not
sent again when the database is unavailable or the worker is killed at any moment: a note without a
response says that the provider may have accepted the email. The file is in the folder of the
emergency journal. It contains no address and no text.
"""

import logging
import os
import shutil
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from django.conf import settings

from notifications.delivery import Outcome, Result
from notifications.models import Email
from snap.local_cache import on_reset

log = logging.getLogger(__name__)

FILE_NAME = "outcomes.sqlite3"
# The previous release reads and writes the table `outcome` without `provider`. It knows the results
# SENT and REFUSED only.
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
PROVIDER_COLUMN = "ALTER TABLE outcome ADD COLUMN provider TEXT NOT NULL DEFAULT ''"
HANDOVERS = """
CREATE TABLE IF NOT EXISTS handover (
    email_id INTEGER NOT NULL,
    queued_at TEXT NOT NULL,
    provider TEXT NOT NULL,
    began_at REAL NOT NULL,
    PRIMARY KEY (email_id, queued_at)
)
"""
ADD_OUTCOME = """
INSERT OR REPLACE INTO outcome (email_id, queued_at, result, provider_id, error, kept_at, provider)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
DROP_OLDEST = "DELETE FROM outcome WHERE id <= (SELECT max(id) FROM outcome) - ?"
ADD_HANDOVER = """
INSERT OR REPLACE INTO handover (email_id, queued_at, provider, began_at) VALUES (?, ?, ?, ?)
"""
REMOVE_OUTCOME = "DELETE FROM outcome WHERE email_id = ? AND queued_at = ?"
REMOVE_HANDOVER = "DELETE FROM handover WHERE email_id = ? AND queued_at = ?"

# Responses of the provider that are final. An email with such an outcome is not sent again.
PROVIDER_RESULTS = {Result.SENT, Result.REFUSED}

# The disk and the memory each keep the newest outcomes; the oldest are dropped.
MAX_KEPT = 10_000
MIN_FREE_BYTES = 1_000_000  # A disk with less free space counts as full, as for the journal.
# Seconds to wait for another process that writes. On a busy host it may have to wait for a CPU.
LOCK_TIMEOUT = 2.0

# The outcomes of this process while the disk is unavailable.
_memory: "OrderedDict[tuple[int, datetime], KeptOutcome]" = OrderedDict()
_memory_lock = threading.Lock()


Key = tuple[int, datetime]
# An SQL statement and the values of each time that it runs.
Statement = tuple[str, Iterable[Sequence[object]]]


@dataclass(frozen=True)
class KeptOutcome:
    """The provider's response to one email, kept at `kept_at` (seconds since 1970).

    An email that staff send again has another `queued_at`.
    """

    email_id: int
    queued_at: datetime
    outcome: Outcome
    kept_at: float

    @property
    def key(self) -> Key:
        return self.email_id, self.queued_at


@dataclass(frozen=True)
class Handover:
    """A note that an email was being handed over to a provider at `began_at`."""

    email_id: int
    queued_at: datetime
    provider: str
    began_at: float

    @property
    def key(self) -> Key:
        return self.email_id, self.queued_at


class KeptOutcomes:
    """The kept outcomes, opened for one batch. No method raises when the disk is unavailable.

    Several processes share the file. A write survives a crash of its process; after `sync` it also
    survives a crash of the machine.
    """

    def __init__(self) -> None:
        self._path = settings.JOURNAL_PATH.with_name(FILE_NAME)
        self._file: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._file = _connection_of_thread(self._path)
        except (sqlite3.Error, OSError) as error:
            self._continue_in_memory(error)
        return self

    def __exit__(self, *exception: object) -> None:
        self._file = None

    def begin(self, handovers: Sequence[tuple[Email, str]]) -> None:
        """Note that emails are being handed over, each to the provider of that name."""
        now = time.time()
        rows = [(email.pk, _text(email.queued_at), name, now) for email, name in handovers]
        self._write_many([(ADD_HANDOVER, rows)])

    def add(self, outcomes: Sequence[tuple[Email, Outcome]]) -> None:
        """Keep outcomes on the disk, or in memory while the disk is unavailable.

        The note of the handover stays if the response was lost.
        """
        kept = []
        ended = []
        for email, outcome in outcomes:
            if outcome.result in PROVIDER_RESULTS:
                kept.append(KeptOutcome(email.pk, email.queued_at, outcome, time.time()))
            if outcome.result is not Result.UNSURE:
                ended.append((email.pk, _text(email.queued_at)))
        statements: list[Statement] = [(REMOVE_HANDOVER, ended)]
        if kept:
            statements += [(ADD_OUTCOME, map(_to_row, kept)), (DROP_OLDEST, [(MAX_KEPT,)])]
        if not self._write_many(statements):
            for each in kept:
                _keep_in_memory(each)

    def sync(self) -> None:
        """Sync the file to the disk: an outage of the database may last."""
        if self._file is None:
            return
        try:
            self._file.execute("PRAGMA wal_checkpoint(FULL)")
        except sqlite3.Error as error:
            self._continue_in_memory(error)

    def find(self, *, older_than: float = 0) -> list[KeptOutcome]:
        """Return the outcomes that are at least `older_than` seconds old, the oldest first."""
        with _memory_lock:
            kept = list(_memory.values())
        kept.extend(map(_to_kept_outcome, self._rows()))
        return [each for each in kept if _is_older(each.kept_at, older_than)]

    def find_handovers(self, *, older_than: float = 0) -> list[Handover]:
        """Return the handovers without a response that began `older_than` seconds ago."""
        rows = self._read("SELECT email_id, queued_at, provider, began_at FROM handover", [])
        return [
            Handover(email_id, datetime.fromisoformat(queued_at), provider, began_at)
            for email_id, queued_at, provider, began_at in rows
            if _is_older(began_at, older_than)
        ]

    def remove(self, keys: Iterable[Key]) -> None:
        """Delete what is kept about emails whose rows say it."""
        rows = []
        with _memory_lock:
            for email_id, queued_at in keys:
                _memory.pop((email_id, queued_at), None)
                rows.append((email_id, _text(queued_at)))
        if rows:
            # Also on a full disk: this makes room.
            self._run([(REMOVE_OUTCOME, rows), (REMOVE_HANDOVER, rows)])

    def _rows(self) -> list[tuple[Any, ...]]:
        return self._read(
            "SELECT email_id, queued_at, result, provider_id, error, kept_at, provider FROM outcome"
            " ORDER BY id",
            [],
        )

    def _read(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        if self._file is None:
            return []
        try:
            return self._file.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._continue_in_memory(error)
            return []

    def _write_many(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction. Return whether the disk has them."""
        try:
            if shutil.disk_usage(self._path.parent).free <= MIN_FREE_BYTES:
                raise OSError("the disk is full")
        except OSError as error:
            self._continue_in_memory(error)
            return False
        return self._run(statements)

    def _run(self, statements: Sequence[Statement]) -> bool:
        if self._file is None:
            return False
        try:
            self._file.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                self._file.executemany(statement, rows)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._continue_in_memory(error)
            return False
        return True

    def _continue_in_memory(self, error: Exception) -> None:
        """Use the memory instead of the file for the rest of this batch."""
        log.warning("outcomes_in_memory_only", extra={"error": type(error).__name__})
        _open_files.opened = self._file = None


class _OpenFiles(threading.local):
    """The open connection of each thread, with its process id and the inode of its file."""

    opened: tuple[int, int, sqlite3.Connection] | None = None


_open_files = _OpenFiles()


def _forget_outcomes() -> None:
    """Empty the memory, and close the file of this thread."""
    with _memory_lock:
        _memory.clear()
    if _open_files.opened is not None:
        _open_files.opened[2].close()
        _open_files.opened = None


on_reset(_forget_outcomes)


def _connection_of_thread(path: Path) -> sqlite3.Connection:
    """Return the open connection of this thread. Opens one after a fork or for a replaced file.

    It stays open: closing the last connection of a file in WAL mode takes 2 ms.
    """
    if _open_files.opened is not None:
        process, inode, file = _open_files.opened
        if process == os.getpid() and path.exists() and path.stat().st_ino == inode:
            return file
    file = _open(path)
    _open_files.opened = (os.getpid(), path.stat().st_ino, file)
    return file


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    file = sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None)
    try:
        # In WAL mode a commit survives a crash of the process without a wait for the disk.
        file.execute("PRAGMA synchronous = NORMAL")
        _prepare(file)
    except sqlite3.Error:
        file.close()
        raise
    return file


def _prepare(file: sqlite3.Connection) -> None:
    """Create the tables, and the column that the previous release does not know.

    SQLite does not wait for a lock while another process changes the file to WAL mode, so this is
    tried again for LOCK_TIMEOUT.
    """
    give_up_at = time.monotonic() + LOCK_TIMEOUT
    while not _is_prepared(file):
        try:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute(SCHEMA)
            file.execute(HANDOVERS)
            if "provider" not in _columns(file, "outcome"):
                file.execute(PROVIDER_COLUMN)
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


def _is_prepared(file: sqlite3.Connection) -> bool:
    return "provider" in _columns(file, "outcome") and bool(_columns(file, "handover"))


def _columns(file: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in file.execute(f"PRAGMA table_info({table})")}


def _keep_in_memory(kept: KeptOutcome) -> None:
    with _memory_lock:
        _memory[kept.key] = kept
        while len(_memory) > MAX_KEPT:
            _memory.popitem(last=False)


def _is_older(moment: float, seconds: float) -> bool:
    """Return whether a moment on the disk is `seconds` ago.

    One in the future counts: this host's clock was set back since.
    """
    age = time.time() - moment
    return age >= seconds or age < 0


def _text(queued_at: datetime) -> str:
    return queued_at.isoformat()


def _to_row(kept: KeptOutcome) -> tuple[object, ...]:
    outcome = kept.outcome
    return (
        kept.email_id,
        _text(kept.queued_at),
        outcome.result.name,
        outcome.provider_id,
        outcome.error,
        kept.kept_at,
        outcome.provider,
    )


def _to_kept_outcome(row: tuple[Any, ...]) -> KeptOutcome:
    email_id, queued_at, result, provider_id, error, kept_at, provider = row
    outcome = Outcome(Result[result], provider_id=provider_id, error=error, provider=provider)
    return KeptOutcome(email_id, datetime.fromisoformat(queued_at), outcome, kept_at)
