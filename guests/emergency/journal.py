"""The emergency journal: complete requests on this host's disk while the database is unavailable.

A SQLite file in WAL mode with `synchronous=FULL`: an entry is on the disk before its ticket is
shown. The journal needs neither the database nor Redis. `intake` writes requests into it, and
`draining` imports them into the database.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from guests.emergency.entries import EndedSession, Entry, StoredEntry
from guests.emergency.journal_schema import prepare_schema
from guests.exceptions import GuestError

# The columns that `_to_stored_entry` takes.
STORED_COLUMNS = "ticket_id, event_id, phone, body, attempts, waits, state, error"
MIN_FREE_BYTES = 1_000_000  # A disk with less free space counts as full.
NO_LIMIT = -1  # SQLite's value for a query without a limit.
LOCK_TIMEOUT = 2.0  # seconds to wait for another process that writes


class JournalError(Exception):
    """The journal cannot be written or read: the disk is full, missing or broken."""


class Journal:
    """The journal in one SQLite file.

    Each call opens the file, so all threads and processes can use it. Every method raises
    JournalError when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def accept(self, entry: Entry) -> str:
        """Write an entry and return its ticket id once it is on the disk.

        A second request of a browser for the same event and phone gets the same ticket: its names
        and email replace the earlier ones. An idempotency key of an account identifies one request.
        Raises GuestError `key_reused` for a key of another event, and JournalError when less than
        MIN_FREE_BYTES are left: on a full disk no entry could be removed either.
        """
        # Checked before the lock is taken: refused requests do not wait for each other.
        self._require_room()
        with self._open() as journal:
            earlier = _find_by_idempotency_key(journal, entry)
            earlier = earlier or _update_entry_of_browser(journal, entry)
            if earlier:
                return earlier
            _insert(journal, entry)
            return entry.ticket_id

    def due(self, now: float, limit: int = 100) -> list[StoredEntry]:
        """Return waiting entries whose next attempt is due at `now`, the oldest first.

        `now` is in seconds since 1970.
        """
        return self._find("state = 'waiting' AND next_attempt_at <= ?", now, limit)

    def in_state(self, state: str) -> list[StoredEntry]:
        """Return all entries that are `waiting` or `dead`, the oldest first."""
        return self._find("state = ?", state, NO_LIMIT)

    def find(self, ticket_id: str) -> StoredEntry | None:
        found = self._find("ticket_id = ?", ticket_id, 1)
        return found[0] if found else None

    def count(self) -> dict[str, int]:
        """Return the number of `waiting` and of `dead` entries."""
        counts = {"waiting": 0, "dead": 0}
        with self._open(to_write=False) as journal:
            counts.update(journal.execute("SELECT state, count(*) FROM entry GROUP BY state"))
        return counts

    def waiting(self) -> tuple[int, str]:
        """Return the number of `waiting` entries, and the text of the oldest; "" for none."""
        with self._open(to_write=False) as journal:
            count, oldest = journal.execute(
                "SELECT count(*), min(id) FROM entry WHERE state = 'waiting'"
            ).fetchone()
            if oldest is None:
                return 0, ""
            body = journal.execute("SELECT body FROM entry WHERE id = ?", [oldest]).fetchone()[0]
        return count, str(body)

    def count_waiting(self, after: str, until: str) -> int:
        """Return how many `waiting` entries were accepted in a period, both ends in ISO 8601."""
        with self._open(to_write=False) as journal:
            row = journal.execute(
                "SELECT count(*) FROM entry WHERE state = 'waiting' AND json_valid(body)"
                " AND json_extract(body, '$.accepted_at') > ?"
                " AND json_extract(body, '$.accepted_at') <= ?",
                [after, until],
            ).fetchone()
        return int(row[0])

    def remove_imported(self, stored: StoredEntry, outcome: str) -> None:
        """Remove an entry that is in the database now. Its history stays and gets `outcome`."""
        with self._open() as journal:
            journal.execute("DELETE FROM entry WHERE ticket_id = ?", [stored.entry.ticket_id])
            _add_history(journal, stored.entry.ticket_id, outcome)

    def record_failure(self, stored: StoredEntry, error: str, *, retry_at: float) -> None:
        """Count a failed attempt. The next one is due at `retry_at` (seconds since 1970)."""
        with self._open() as journal:
            _count_attempt(journal, stored, error, "waiting", retry_at)

    def mark_dead(self, stored: StoredEntry, error: str) -> None:
        """Count a failed attempt, the last one. The entry stays in the journal."""
        with self._open() as journal:
            _count_attempt(journal, stored, error, "dead", retry_at=0)

    def postpone(self, stored: StoredEntry, *, retry_at: float) -> None:
        """Set the next attempt to `retry_at` (seconds since 1970) without counting an attempt."""
        with self._open() as journal:
            journal.execute(
                "UPDATE entry SET waits = waits + 1, next_attempt_at = ? WHERE ticket_id = ?",
                [retry_at, stored.entry.ticket_id],
            )

    def revive(self, ticket_id: str, *, actor: str) -> bool:
        """Give a dead entry all its attempts again. Return False when there is no such entry."""
        with self._open() as journal:
            changed = journal.execute(
                "UPDATE entry SET state = 'waiting', attempts = 0, waits = 0, next_attempt_at = 0"
                " WHERE ticket_id = ? AND state = 'dead'",
                [ticket_id],
            )
            if changed.rowcount:
                _add_history(journal, ticket_id, f"revived by {actor}")
            return bool(changed.rowcount)

    def history(self, ticket_id: str) -> list[tuple[str, str]]:
        """Return the history of a ticket on this host as (ISO 8601 time, text), in order."""
        with self._open(to_write=False) as journal:
            return journal.execute(
                "SELECT at, what FROM history WHERE ticket_id = ? ORDER BY id", [ticket_id]
            ).fetchall()

    def save_ended_session(self, ended: EndedSession) -> None:
        """Store that a session has signed out, until it has ended in the database too."""
        self._require_room()
        with self._open() as journal:
            journal.execute(
                "INSERT OR IGNORE INTO ended_session VALUES (?, ?, ?, ?)",
                [ended.account_id, ended.session_hash, ended.session_id, ended.browser],
            )

    def ended_sessions(self, account_id: int | None = None) -> list[EndedSession]:
        """Return the stored sessions that have signed out, of one account or of all."""
        query, values = "SELECT * FROM ended_session", []
        if account_id is not None:
            query += " WHERE account_id = ?"
            values.append(account_id)
        with self._open(to_write=False) as journal:
            rows = journal.execute(query, values).fetchall()
        return [EndedSession(*row) for row in rows]

    def delete_ended_session(self, ended: EndedSession) -> None:
        with self._open() as journal:
            journal.execute(
                "DELETE FROM ended_session WHERE account_id = ? AND session_hash = ?"
                " AND session_id = ? AND browser = ?",
                [ended.account_id, ended.session_hash, ended.session_id, ended.browser],
            )

    def save_snapshot(self, slug: str, body: str) -> None:
        """Store an event's snapshot, a text that `snapshots` makes. It replaces an earlier one."""
        with self._open() as journal:
            journal.execute(
                "INSERT INTO snapshot (slug, body) VALUES (?, ?)"
                " ON CONFLICT (slug) DO UPDATE SET body = excluded.body",
                [slug, body],
            )

    def delete_snapshot(self, slug: str) -> None:
        with self._open() as journal:
            journal.execute("DELETE FROM snapshot WHERE slug = ?", [slug])

    def load_snapshot(self, slug: str) -> str | None:
        with self._open(to_write=False) as journal:
            row = journal.execute("SELECT body FROM snapshot WHERE slug = ?", [slug]).fetchone()
        return str(row[0]) if row else None

    def load_snapshots(self) -> list[str]:
        """Return the snapshots of all events."""
        with self._open(to_write=False) as journal:
            return [str(row[0]) for row in journal.execute("SELECT body FROM snapshot")]

    def snapshot_slugs(self) -> set[str]:
        with self._open(to_write=False) as journal:
            return {str(row[0]) for row in journal.execute("SELECT slug FROM snapshot")}

    def is_writable(self) -> bool:
        """Return whether an entry could be written now."""
        try:
            with self._open():
                self._require_room()
        except (JournalError, OSError):
            return False
        return True

    def _require_room(self) -> None:
        """Raise JournalError when the disk is full or the folder cannot be created."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.path.parent).free
        except OSError as error:
            raise JournalError(str(error)) from error
        if free <= MIN_FREE_BYTES:
            raise JournalError("the disk is full")

    def _find(self, condition: str, value: object, limit: int) -> list[StoredEntry]:
        with self._open(to_write=False) as journal:
            rows = journal.execute(
                f"SELECT {STORED_COLUMNS} FROM entry WHERE {condition} ORDER BY id LIMIT ?",  # noqa: S608
                [value, limit],
            ).fetchall()
        return [_to_stored_entry(*row) for row in rows]

    @contextmanager
    def _open(self, *, to_write: bool = True) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, committed and synced at the end of the block.

        A transaction that only reads neither waits for a writer nor blocks one.
        """
        journal = self._connect()
        try:
            self._prepare(journal)
            journal.execute("BEGIN IMMEDIATE" if to_write else "BEGIN")
            yield journal
            journal.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(str(error)) from error
        finally:
            journal.close()

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            return sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(str(error)) from error

    def _prepare(self, journal: sqlite3.Connection) -> None:
        journal.execute("PRAGMA synchronous = FULL")
        prepare_schema(journal, timeout=LOCK_TIMEOUT)


def _insert(journal: sqlite3.Connection, entry: Entry) -> None:
    # A key belongs to an account: without a session it identifies nothing.
    idempotency_key = entry.idempotency_key if entry.account_id else ""
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
            idempotency_key,
            entry.to_json(),
        ],
    )
    _add_history(journal, entry.ticket_id, "accepted")


def _count_attempt(
    journal: sqlite3.Connection, stored: StoredEntry, error: str, state: str, retry_at: float
) -> None:
    journal.execute(
        "UPDATE entry SET attempts = attempts + 1, waits = 0, next_attempt_at = ?,"
        " state = ?, error = ? WHERE ticket_id = ?",
        [retry_at, state, error, stored.entry.ticket_id],
    )
    _add_history(journal, stored.entry.ticket_id, f"failed: {error}")


def _find_by_idempotency_key(journal: sqlite3.Connection, entry: Entry) -> str:
    """Return the ticket id of the account's earlier entry with the same key, or "".

    Raises GuestError `key_reused` when the earlier entry is for another event.
    """
    if not entry.idempotency_key or not entry.account_id:
        return ""
    row = journal.execute(
        "SELECT ticket_id, event_id FROM entry WHERE account_id = ? AND idempotency_key = ?",
        [entry.account_id, entry.idempotency_key],
    ).fetchone()
    if row is None:
        return ""
    if row[1] != entry.event_id:
        raise GuestError("key_reused")
    return str(row[0])


def _update_entry_of_browser(journal: sqlite3.Connection, entry: Entry) -> str:
    """Return the ticket id of the browser's earlier entry for the event and phone, or "".

    The registration and session of the new entry replace those of the earlier one. A dead entry
    becomes waiting.
    """
    row = journal.execute(
        f"SELECT {STORED_COLUMNS} FROM entry WHERE event_id = ? AND phone = ? AND browser = ?",  # noqa: S608
        [entry.event_id, entry.phone, entry.browser],
    ).fetchone()
    if row is None:
        return ""
    stored = _to_stored_entry(*row)
    changes: dict[str, Any] = {**entry.registration}
    if entry.account_id:
        changes |= {"account_id": entry.account_id, "session_hash": entry.session_hash}
    corrected = replace(stored.entry, **changes)
    has_changed = corrected != stored.entry or stored.state == "dead"
    if stored.is_readable and has_changed:
        journal.execute(
            "UPDATE entry SET body = ?, state = 'waiting', attempts = 0, waits = 0,"
            " next_attempt_at = 0 WHERE ticket_id = ?",
            [corrected.to_json(), corrected.ticket_id],
        )
        _add_history(journal, corrected.ticket_id, "corrected")
    return stored.entry.ticket_id


def _to_stored_entry(
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
        entry = Entry.from_json(body)
        is_readable = True
    except (ValueError, TypeError, AttributeError):
        entry = Entry(event_id, "", phone, ticket_id=ticket_id)
        is_readable = False
    return StoredEntry(entry, attempts, waits, state, error, is_readable)


def _add_history(journal: sqlite3.Connection, ticket_id: str, what: str) -> None:
    journal.execute(
        "INSERT INTO history (ticket_id, at, what) VALUES (?, ?, ?)",
        [ticket_id, datetime.now(UTC).isoformat(), what],
    )


def get_journal() -> Journal:
    """Return this host's journal, at JOURNAL_PATH."""
    return Journal(settings.JOURNAL_PATH)
