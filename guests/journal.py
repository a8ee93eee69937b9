"""The emergency journal: whole requests, kept on this host's own disk while the database is away.

SQLite in WAL mode with `synchronous=FULL`: an entry is on the disk before anybody is told of it. It
needs neither the database nor Redis. `guests.draining` carries the entries into the database.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY

from accounts.sessions import SESSION_ID_KEY

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket_id TEXT NOT NULL UNIQUE,
    event_id INTEGER NOT NULL,
    phone TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at REAL NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    error TEXT NOT NULL DEFAULT '',
    UNIQUE (event_id, phone)
);
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket_id TEXT NOT NULL,
    at TEXT NOT NULL,
    what TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS event (
    slug TEXT PRIMARY KEY,
    body TEXT NOT NULL
);
PRAGMA user_version = 1;
COMMIT;
"""
SCHEMA_VERSION = 1
ROOM = 1_000_000  # bytes below which a disk counts as full
NO_LIMIT = -1  # in SQLite's words
LOCK_TIMEOUT = 2.0  # seconds to wait for another writer


class JournalError(Exception):
    """The journal cannot be written or read: the disk is full, away or broken."""


@dataclass(frozen=True)
class Entry:
    """A request as it was accepted, the registration it may need included.

    `account_id`, `session_hash` and `session_id` are those of the session, if there was one.
    `browser` is the browser's own random id, by which it recognises the account it registered.
    """

    event_id: int
    event_slug: str
    phone: str
    promoter_id: int | None = None
    team_id: int | None = None
    account_id: int | None = None
    session_hash: str = ""
    session_id: str = ""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    language: str = ""
    browser: str = ""
    ticket_id: str = field(default_factory=lambda: str(uuid4()))
    accepted_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def session(self) -> dict[str, object]:
        """What the entry kept of the session, for `is_session_of`."""
        return {
            SESSION_KEY: self.account_id,
            HASH_SESSION_KEY: self.session_hash,
            SESSION_ID_KEY: self.session_id,
        }


@dataclass(frozen=True)
class StoredEntry:
    """An entry with the state of its draining."""

    id: int
    entry: Entry
    attempts: int
    state: str
    error: str


class Journal:
    """The journal in one SQLite file. Each call opens it afresh, so any thread or process may."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def accept(self, entry: Entry) -> str:
        """Write an entry and return its ticket id once it is on the disk.

        A phone that has an entry for the event gets that one's ticket. Raises JournalError, on a
        full disk before the last room is gone: without any, no entry could be removed either.
        """
        # Before the lock: those who are refused would otherwise wait for one another.
        if not self._has_room():
            raise JournalError("the disk is full")
        with self._open() as journal:
            added = journal.execute(
                "INSERT INTO entry (ticket_id, event_id, phone, body) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                [entry.ticket_id, entry.event_id, entry.phone, json.dumps(asdict(entry))],
            )
            if added.rowcount:
                _note(journal, entry.ticket_id, "accepted")
                return entry.ticket_id
            row = journal.execute(
                "SELECT ticket_id FROM entry WHERE event_id = ? AND phone = ?",
                [entry.event_id, entry.phone],
            ).fetchone()
            return str(row[0])

    def due(self, now: float, limit: int = 100) -> list[StoredEntry]:
        """Return waiting entries whose time (seconds since 1970) has come, the oldest first."""
        return self._find("state = 'waiting' AND next_attempt_at <= ?", now, limit)

    def in_state(self, state: str) -> list[StoredEntry]:
        """Return all entries that are `waiting` or `dead`, the oldest first."""
        return self._find("state = ?", state, NO_LIMIT)

    def find(self, ticket_id: str) -> StoredEntry | None:
        return next(iter(self._find("ticket_id = ?", ticket_id, 1)), None)

    def count(self) -> dict[str, int]:
        """Return how many entries wait and how many are dead."""
        with self._open(to_write=False) as journal:
            counts = dict(journal.execute("SELECT state, count(*) FROM entry GROUP BY state"))
        return {"waiting": counts.get("waiting", 0), "dead": counts.get("dead", 0)}

    def drained(self, stored: StoredEntry, outcome: str) -> None:
        """Remove an entry that is in the database now; its history stays."""
        with self._open() as journal:
            journal.execute("DELETE FROM entry WHERE id = ?", [stored.id])
            _note(journal, stored.entry.ticket_id, outcome)

    def failed(self, stored: StoredEntry, error: str, *, retry_at: float | None) -> None:
        """Count an attempt: try again at `retry_at` (seconds since 1970), or None: it is dead."""
        with self._open() as journal:
            journal.execute(
                "UPDATE entry SET attempts = attempts + 1, next_attempt_at = ?, state = ?,"
                " error = ? WHERE id = ?",
                [retry_at or 0, "dead" if retry_at is None else "waiting", error, stored.id],
            )
            _note(journal, stored.entry.ticket_id, f"failed: {error}")

    def revive(self, ticket_id: str, *, actor: str) -> bool:
        """Give a dead entry all its attempts again. False when there is no such dead entry."""
        with self._open() as journal:
            changed = journal.execute(
                "UPDATE entry SET state = 'waiting', attempts = 0, next_attempt_at = 0"
                " WHERE ticket_id = ? AND state = 'dead'",
                [ticket_id],
            )
            if changed.rowcount:
                _note(journal, ticket_id, f"revived by {actor}")
            return bool(changed.rowcount)

    def history(self, ticket_id: str) -> list[tuple[str, str]]:
        """Return (when, what) of everything that happened to a ticket here, in order."""
        with self._open(to_write=False) as journal:
            return list(
                journal.execute(
                    "SELECT at, what FROM history WHERE ticket_id = ? ORDER BY id", [ticket_id]
                )
            )

    def remember_event(self, slug: str, body: str) -> None:
        """Keep what an event's page needs, for when the database is away."""
        with self._open() as journal:
            journal.execute(
                "INSERT INTO event (slug, body) VALUES (?, ?)"
                " ON CONFLICT (slug) DO UPDATE SET body = excluded.body",
                [slug, body],
            )

    def recall_event(self, slug: str) -> str | None:
        with self._open(to_write=False) as journal:
            row = journal.execute("SELECT body FROM event WHERE slug = ?", [slug]).fetchone()
        return str(row[0]) if row else None

    def recall_events(self) -> list[str]:
        with self._open(to_write=False) as journal:
            return [str(row[0]) for row in journal.execute("SELECT body FROM event")]

    def is_writable(self) -> bool:
        """Say whether an entry could be kept now: there is room, and the right to write."""
        try:
            with self._open():
                return self._has_room()
        except (JournalError, OSError):
            return False

    def _has_room(self) -> bool:
        """Raises JournalError where there is no such folder and none can be made."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self.path.parent).free > ROOM
        except OSError as error:
            raise JournalError(str(error)) from error

    def _find(self, condition: str, value: object, limit: int) -> list[StoredEntry]:
        with self._open(to_write=False) as journal:
            rows = journal.execute(
                f"SELECT id, body, attempts, state, error FROM entry WHERE {condition}"  # noqa: S608
                " ORDER BY id LIMIT ?",
                [value, limit],
            ).fetchall()
        return [StoredEntry(row[0], Entry(**json.loads(row[1])), *row[2:]) for row in rows]

    @contextmanager
    def _open(self, *, to_write: bool = True) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, committed and synced at the end of the block.

        One that only reads waits for no writer, and keeps none waiting.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            journal = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(str(error)) from error
        try:
            self._prepare(journal)
            journal.execute("BEGIN IMMEDIATE" if to_write else "BEGIN")
            yield journal
            journal.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(str(error)) from error
        finally:
            journal.close()

    def _prepare(self, journal: sqlite3.Connection) -> None:
        journal.execute("PRAGMA synchronous = FULL")
        give_up_at = monotonic() + LOCK_TIMEOUT
        while journal.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            try:
                journal.execute("PRAGMA journal_mode = WAL")
                journal.executescript(SCHEMA)
            except sqlite3.OperationalError:
                # Several make the file at once, and SQLite waits for nobody while it becomes WAL.
                if monotonic() > give_up_at:
                    raise
                sleep(0.01)


def _note(journal: sqlite3.Connection, ticket_id: str, what: str) -> None:
    journal.execute(
        "INSERT INTO history (ticket_id, at, what) VALUES (?, ?, ?)",
        [ticket_id, datetime.now(UTC).isoformat(), what],
    )


def the_journal() -> Journal:
    """Return this host's journal, at JOURNAL_PATH."""
    return Journal(settings.JOURNAL_PATH)
