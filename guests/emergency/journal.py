"""The emergency journal: whole requests, kept on this host's own disk while the database is away.

SQLite in WAL mode with `synchronous=FULL`: an entry is on the disk before anybody is told of it. It
needs neither the database nor Redis. `guests.intake` accepts requests into it, `guests.draining`
carries the entries into the database.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY

from accounts.sessions import SESSION_ID_KEY
from guests.exceptions import GuestError

TABLES = [
    """
    CREATE TABLE IF NOT EXISTS entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ticket_id TEXT NOT NULL UNIQUE,
        event_id INTEGER NOT NULL,
        phone TEXT NOT NULL,
        browser TEXT NOT NULL DEFAULT '',
        account_id INTEGER,
        idempotency_key TEXT NOT NULL DEFAULT '',
        body TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        waits INTEGER NOT NULL DEFAULT 0,
        next_attempt_at REAL NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
        error TEXT NOT NULL DEFAULT '',
        UNIQUE (event_id, phone, browser)
    )
    """,
    """
    CREATE UNIQUE INDEX IF NOT EXISTS entry_idempotency_key_once
    ON entry (account_id, idempotency_key) WHERE idempotency_key <> ''
    """,
    """
    CREATE TABLE IF NOT EXISTS history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ticket_id TEXT NOT NULL,
        at TEXT NOT NULL,
        what TEXT NOT NULL
    )
    """,
    "CREATE TABLE IF NOT EXISTS event (slug TEXT PRIMARY KEY, body TEXT NOT NULL)",
    """
    CREATE TABLE IF NOT EXISTS ended_session (
        account_id INTEGER NOT NULL,
        session_hash TEXT NOT NULL,
        session_id TEXT NOT NULL,
        browser TEXT NOT NULL,
        UNIQUE (account_id, session_hash, session_id, browser)
    )
    """,
]
# Version 1 kept one entry for each event and phone, whatever the browser.
FROM_VERSION_1 = """
INSERT INTO entry (
    id, ticket_id, event_id, phone, browser, account_id, body, attempts, next_attempt_at, state,
    error
)
SELECT
    id, ticket_id, event_id, phone,
    CASE WHEN json_valid(body) THEN coalesce(json_extract(body, '$.browser'), '') ELSE '' END,
    CASE WHEN json_valid(body) THEN json_extract(body, '$.account_id') END,
    body, attempts, next_attempt_at, state, error
FROM entry_of_version_1
"""
# A process of the previous release may add entries to a file of version 2, without their browser.
NAME_BROWSERS = """
UPDATE OR IGNORE entry SET browser = coalesce(json_extract(body, '$.browser'), '')
WHERE browser = '' AND json_valid(body)
"""
SCHEMA_VERSION = 3
# What `_read` takes.
STORED = "ticket_id, event_id, phone, body, attempts, waits, state, error"
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
    `name` and `idempotency_key` are what an API call asked for.
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
    name: str = ""
    idempotency_key: str = ""
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

    @property
    def registration(self) -> dict[str, str]:
        """What the person wrote about themselves, empty without a registration."""
        if not self.email:
            return {}
        return {
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
            "language": self.language,
        }

    def to_json(self) -> str:
        """Return the entry as JSON, without empty fields: the previous release knows fewer."""
        return json.dumps({k: v for k, v in asdict(self).items() if v not in {"", None}})

    @classmethod
    def from_json(cls, body: str) -> Self:
        """Raises ValueError, TypeError or AttributeError for what is no entry."""
        known = {each.name for each in fields(cls)}
        return cls(**{k: v for k, v in json.loads(body).items() if k in known})


@dataclass(frozen=True)
class EndedSession:
    """A session that signed out while the database was away, and the browser's own id."""

    account_id: int
    session_hash: str
    session_id: str
    browser: str

    @property
    def session(self) -> dict[str, object]:
        """The session, for `is_session_of`."""
        return {
            SESSION_KEY: self.account_id,
            HASH_SESSION_KEY: self.session_hash,
            SESSION_ID_KEY: self.session_id,
        }


@dataclass(frozen=True)
class StoredEntry:
    """An entry with the state of its draining.

    `waits` counts how often it was put off since the last attempt. Of an unreadable entry only the
    ticket id, event and phone are known.
    """

    entry: Entry
    attempts: int
    waits: int
    state: str
    error: str
    is_readable: bool = True


class Journal:
    """The journal in one SQLite file. Each call opens it afresh, so any thread or process may."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def accept(self, entry: Entry) -> str:
        """Write an entry and return its ticket id once it is on the disk.

        A browser that asks for the same event and phone again gets the same ticket: the names and
        email that it gives now replace those that it gave before. The same idempotency key of an
        account is the same request. Raises GuestError `key_reused` for a key of another event;
        JournalError, on a full disk before the last room is gone: without any, no entry could be
        removed either.
        """
        # Before the lock: those who are refused would otherwise wait for one another.
        if not self._has_room():
            raise JournalError("the disk is full")
        with self._open() as journal:
            if earlier := _with_same_key(journal, entry) or _of_same_browser(journal, entry):
                return earlier
            journal.execute(
                "INSERT INTO entry"
                " (ticket_id, event_id, phone, browser, account_id, idempotency_key, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    entry.ticket_id,
                    entry.event_id,
                    entry.phone,
                    entry.browser,
                    entry.account_id,
                    entry.idempotency_key if entry.account_id else "",
                    entry.to_json(),
                ],
            )
            _note(journal, entry.ticket_id, "accepted")
            return entry.ticket_id

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
            journal.execute("DELETE FROM entry WHERE ticket_id = ?", [stored.entry.ticket_id])
            _note(journal, stored.entry.ticket_id, outcome)

    def failed(self, stored: StoredEntry, error: str, *, retry_at: float | None) -> None:
        """Count an attempt: try again at `retry_at` (seconds since 1970), or None: it is dead."""
        with self._open() as journal:
            journal.execute(
                "UPDATE entry SET attempts = attempts + 1, waits = 0, next_attempt_at = ?,"
                " state = ?, error = ? WHERE ticket_id = ?",
                [
                    retry_at or 0,
                    "dead" if retry_at is None else "waiting",
                    error,
                    stored.entry.ticket_id,
                ],
            )
            _note(journal, stored.entry.ticket_id, f"failed: {error}")

    def postpone(self, stored: StoredEntry, *, retry_at: float) -> None:
        """Try again at `retry_at` (seconds since 1970) without counting an attempt."""
        with self._open() as journal:
            journal.execute(
                "UPDATE entry SET waits = waits + 1, next_attempt_at = ? WHERE ticket_id = ?",
                [retry_at, stored.entry.ticket_id],
            )

    def revive(self, ticket_id: str, *, actor: str) -> bool:
        """Give a dead entry all its attempts again. False when there is no such dead entry."""
        with self._open() as journal:
            changed = journal.execute(
                "UPDATE entry SET state = 'waiting', attempts = 0, waits = 0, next_attempt_at = 0"
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

    def end_session(self, ended: EndedSession) -> None:
        """Keep that a session has signed out, until the database knows it."""
        if not self._has_room():
            raise JournalError("the disk is full")
        with self._open() as journal:
            journal.execute(
                "INSERT OR IGNORE INTO ended_session VALUES (?, ?, ?, ?)",
                [ended.account_id, ended.session_hash, ended.session_id, ended.browser],
            )

    def ended_sessions(self, account_id: int | None = None) -> list[EndedSession]:
        """Return the sessions, of one account or of all, that the database does not know ended."""
        condition = "" if account_id is None else "WHERE account_id = ?"
        values = [] if account_id is None else [account_id]
        with self._open(to_write=False) as journal:
            rows = journal.execute(f"SELECT * FROM ended_session {condition}", values).fetchall()  # noqa: S608
        return [EndedSession(*row) for row in rows]

    def forget_ended_session(self, ended: EndedSession) -> None:
        with self._open() as journal:
            journal.execute(
                "DELETE FROM ended_session WHERE account_id = ? AND session_hash = ?"
                " AND session_id = ? AND browser = ?",
                [ended.account_id, ended.session_hash, ended.session_id, ended.browser],
            )

    def remember_event(self, slug: str, body: str) -> None:
        """Keep what an event's page needs, for when the database is away."""
        with self._open() as journal:
            journal.execute(
                "INSERT INTO event (slug, body) VALUES (?, ?)"
                " ON CONFLICT (slug) DO UPDATE SET body = excluded.body",
                [slug, body],
            )

    def forget_event(self, slug: str) -> None:
        with self._open() as journal:
            journal.execute("DELETE FROM event WHERE slug = ?", [slug])

    def recall_event(self, slug: str) -> str | None:
        with self._open(to_write=False) as journal:
            row = journal.execute("SELECT body FROM event WHERE slug = ?", [slug]).fetchone()
        return str(row[0]) if row else None

    def recall_events(self) -> list[str]:
        with self._open(to_write=False) as journal:
            return [str(row[0]) for row in journal.execute("SELECT body FROM event")]

    def event_slugs(self) -> set[str]:
        with self._open(to_write=False) as journal:
            return {str(row[0]) for row in journal.execute("SELECT slug FROM event")}

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
                f"SELECT {STORED} FROM entry WHERE {condition} ORDER BY id LIMIT ?",  # noqa: S608
                [value, limit],
            ).fetchall()
        return [_read(*row) for row in rows]

    @contextmanager
    def _open(self, *, to_write: bool = True) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, committed and synced at the end of the block.

        One that only reads waits for no writer, and keeps none waiting.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
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
                journal.execute("BEGIN IMMEDIATE")
                _bring_up_to_date(journal)
                journal.execute("COMMIT")
            except sqlite3.OperationalError:
                # Several make the file at once, and SQLite waits for nobody while it becomes WAL.
                if journal.in_transaction:
                    journal.execute("ROLLBACK")
                if monotonic() > give_up_at:
                    raise
                sleep(0.01)


def _bring_up_to_date(journal: sqlite3.Connection) -> None:
    """Make the tables, or make those of version 1 into ours with all that they hold.

    Doing it twice does nothing: processes of both releases may share a file during a deployment,
    and those of the previous one write their own version into it.
    """
    columns = {row[1] for row in journal.execute("PRAGMA table_info(entry)")}
    is_version_1 = bool(columns) and "browser" not in columns
    if is_version_1:
        journal.execute("ALTER TABLE entry RENAME TO entry_of_version_1")
    for table in TABLES:
        journal.execute(table)
    if is_version_1:
        journal.execute(FROM_VERSION_1)
        journal.execute("DROP TABLE entry_of_version_1")
    journal.execute(NAME_BROWSERS)
    journal.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _with_same_key(journal: sqlite3.Connection, entry: Entry) -> str:
    """Return the ticket id of the request that an account made with this key, or "".

    Raises GuestError `key_reused` when that was for another event.
    """
    if not entry.idempotency_key or not entry.account_id:
        return ""
    row = journal.execute(
        "SELECT ticket_id, event_id FROM entry WHERE account_id = ? AND idempotency_key = ?",
        [entry.account_id, entry.idempotency_key],
    ).fetchone()
    if row and row[1] != entry.event_id:
        raise GuestError("key_reused")
    return str(row[0]) if row else ""


def _of_same_browser(journal: sqlite3.Connection, entry: Entry) -> str:
    """Return the ticket id that a browser has for an event and phone, or "".

    What it says of the person now replaces what it said before, and a dead entry lives again.
    """
    row = journal.execute(
        f"SELECT {STORED} FROM entry WHERE event_id = ? AND phone = ? AND browser = ?",  # noqa: S608
        [entry.event_id, entry.phone, entry.browser],
    ).fetchone()
    if row is None:
        return ""
    stored = _read(*row)
    said: dict[str, Any] = {**entry.registration}
    if entry.account_id:
        said |= {"account_id": entry.account_id, "session_hash": entry.session_hash}
    corrected = replace(stored.entry, **said)
    is_news = corrected != stored.entry or stored.state == "dead"
    if not stored.is_readable or not is_news:
        return stored.entry.ticket_id
    journal.execute(
        "UPDATE entry SET body = ?, state = 'waiting', attempts = 0, waits = 0,"
        " next_attempt_at = 0 WHERE ticket_id = ?",
        [corrected.to_json(), corrected.ticket_id],
    )
    _note(journal, corrected.ticket_id, "corrected")
    return corrected.ticket_id


def _read(
    ticket_id: str,
    event_id: int,
    phone: str,
    body: str,
    attempts: int,
    waits: int,
    state: str,
    error: str,
) -> StoredEntry:
    try:
        entry, is_readable = Entry.from_json(body), True
    except (ValueError, TypeError, AttributeError):
        entry, is_readable = Entry(event_id, "", phone, ticket_id=ticket_id), False
    return StoredEntry(entry, attempts, waits, state, error, is_readable)


def _note(journal: sqlite3.Connection, ticket_id: str, what: str) -> None:
    journal.execute(
        "INSERT INTO history (ticket_id, at, what) VALUES (?, ?, ?)",
        [ticket_id, datetime.now(UTC).isoformat(), what],
    )


def get_journal() -> Journal:
    """Return this host's journal, at JOURNAL_PATH."""
    return Journal(settings.JOURNAL_PATH)
