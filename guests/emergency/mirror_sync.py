"""Copy the places of upcoming events from the database into the mirror's SQLite file.

The sweeper does this again and again. Each sync reads the rows that changed since the last one, by
the transaction ids of PostgreSQL. The file is a copy, so it is not synced to the disk, and a broken
file is deleted and written again.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from django.db import connection

from accounts.models import User
from snap.local_cache import on_reset

log = logging.getLogger(__name__)

REBUILD_EVERY = 3600.0  # seconds between two syncs that read all rows
MAX_PLACES = (
    200_000  # The mirror leaves out later events when the earlier ones have so many places.
)
ROWS_PER_QUERY = 2_000
LOCK_TIMEOUT = 2.0  # seconds to wait for another process that writes

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, slug TEXT NOT NULL, title TEXT NOT NULL, venue TEXT NOT NULL,
    address TEXT NOT NULL, time_zone TEXT NOT NULL, requires_proof INTEGER NOT NULL,
    sequence INTEGER NOT NULL, moves TEXT NOT NULL, starts_at TEXT NOT NULL, ends_at TEXT NOT NULL,
    cancelled_at TEXT, waiting_list_ends_at TEXT
);
CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY, session_hashes TEXT NOT NULL, is_active INTEGER NOT NULL,
    email TEXT NOT NULL, browser TEXT NOT NULL, verified_at TEXT, created_at TEXT NOT NULL,
    ended_sessions TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS place (
    id INTEGER PRIMARY KEY, event_id INTEGER NOT NULL, account_id INTEGER NOT NULL,
    name TEXT NOT NULL, state TEXT NOT NULL, queue_number INTEGER NOT NULL, qr_token TEXT,
    is_promoted INTEGER NOT NULL, ending TEXT NOT NULL, placed_at TEXT NOT NULL,
    revoked_token TEXT, leaves_at TEXT
);
CREATE INDEX IF NOT EXISTS place_by_account ON place (account_id);
CREATE INDEX IF NOT EXISTS place_by_token ON place (qr_token);
CREATE INDEX IF NOT EXISTS place_by_revoked_token ON place (revoked_token);
CREATE INDEX IF NOT EXISTS place_in_line ON place (event_id, state, queue_number);
CREATE TABLE IF NOT EXISTS ticket (
    id INTEGER PRIMARY KEY, ticket_id TEXT NOT NULL, event_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL, browser TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
    refusal TEXT NOT NULL, guest_id INTEGER, is_second_registration INTEGER NOT NULL,
    accepted_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ticket_by_id ON ticket (ticket_id);
CREATE INDEX IF NOT EXISTS ticket_by_account ON ticket (account_id, event_id);
"""

DATABASE_SNAPSHOT = """
SELECT pg_snapshot_xmin(seen)::text::bigint, seen::text, now() FROM pg_current_snapshot() AS seen
"""
EVENTS = """
SELECT id, slug, title, venue, address, time_zone, requires_proof, sequence, moves::text,
    starts_at, ends_at, cancelled_at, waiting_list_ends_at
FROM (
    SELECT *, sum(places_taken) OVER (ORDER BY starts_at, id) AS places FROM guests_event
    WHERE ends_at > now()
) AS ahead
WHERE places - places_taken < %s
"""
# Rows that can have changed after the last sync: those written by a transaction that was not over
# before it (`horizon`), or all rows without a horizon. `age` compares transaction ids, which wrap
# around.
PLACES = """
SELECT id, event_id, account_id, name, state, queue_number, qr_token, is_promoted, ending,
    coalesce(state_since, created_at),
    (SELECT token FROM guests_revokedqr AS r WHERE r.guest_id = guests_guest.id
     ORDER BY r.id DESC LIMIT 1),
    leaves_at
FROM guests_guest
WHERE event_id = ANY(%(events)s) AND id > %(after)s
AND (%(horizon)s::text IS NULL OR age(xmin) <= age(%(horizon)s::text::xid))
ORDER BY id LIMIT %(limit)s
"""
TICKETS = """
SELECT r.id, r.ticket_id::text, r.event_id, r.account_id, r.browser, r.name, r.state, r.refusal,
    r.guest_id, r.is_second_registration, r.accepted_at,
    u.password, u.session_nonce, u.is_active, u.email, u.browser, u.verified_at, u.created_at,
    u.ended_sessions
FROM guests_guestrequest AS r JOIN accounts_user AS u ON u.id = r.account_id
WHERE r.event_id = ANY(%(events)s) AND r.id > %(after)s
AND (
    %(horizon)s::text IS NULL
    OR age(r.xmin) <= age(%(horizon)s::text::xid) OR age(u.xmin) <= age(%(horizon)s::text::xid)
)
ORDER BY r.id LIMIT %(limit)s
"""

# When this process last read all rows into each file (monotonic clock).
_rebuilt_at: dict[Path, float] = {}
on_reset(_rebuilt_at.clear)


def sync_mirror(
    path: Path, *, max_places: int = MAX_PLACES, rows_per_query: int = ROWS_PER_QUERY
) -> int:
    """Copy the rows that changed in the database since the last sync. Return how many.

    Four queries when something was written, two otherwise; more for every `rows_per_query` rows.
    A new process reads all rows, and so does a sync every REBUILD_EVERY seconds. Raises the
    database's errors and sqlite3.Error; a broken file is deleted before.
    """
    try:
        with _open_for_writing(path) as mirror:
            rebuild = _is_rebuild_due(path)
            rows = _sync(mirror, rebuild, max_places, rows_per_query)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        log.warning("mirror_corrupt")
        delete_mirror(path)
        raise
    if rebuild:
        _rebuilt_at[path] = monotonic()
    return rows


def delete_mirror(path: Path) -> None:
    """Delete a mirror's files. The next sync reads all rows."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _rebuilt_at.pop(path, None)


def _is_rebuild_due(path: Path) -> bool:
    last = _rebuilt_at.get(path)
    return last is None or monotonic() > last + REBUILD_EVERY


@contextmanager
def _open_for_writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file and hold its lock until the end of the block.

    Of two syncs at once, the later one also reads the database later.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
    with closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None)) as mirror:
        mirror.execute("PRAGMA journal_mode = WAL")
        mirror.execute("PRAGMA synchronous = OFF")
        mirror.executescript(TABLES)
        mirror.execute("BEGIN IMMEDIATE")
        yield mirror
        mirror.execute("COMMIT")


def _sync(mirror: sqlite3.Connection, rebuild: bool, max_places: int, rows_per_query: int) -> int:
    meta = dict(mirror.execute("SELECT key, value FROM meta"))
    with connection.cursor() as cursor:
        cursor.execute(DATABASE_SNAPSHOT)
        xmin, snapshot, now = cursor.fetchone()
        cursor.execute(EVENTS, [max_places])
        events = cursor.fetchall()
    horizon = int(meta.get("horizon", 0))
    # A database that was restored from a backup may count its transactions from a lower number.
    was_restored = horizon > xmin
    if rebuild or was_restored:
        _delete_all_rows(mirror)
    mirrored = {row[0] for row in mirror.execute("SELECT id FROM event")}
    upcoming = {row[0] for row in events}
    new_events = upcoming - mirrored
    known_events = upcoming & mirrored
    rows = 0
    if new_events:
        rows += _copy_rows(mirror, new_events, None, rows_per_query)
    if known_events and snapshot != meta.get("snapshot"):
        # A row's transaction id has 32 bits, the snapshot's 64.
        rows += _copy_rows(mirror, known_events, str(horizon % 2**32), rows_per_query)
    _replace_events(mirror, events)
    if mirrored - upcoming:
        _delete_rows_of_past_events(mirror)
    meta = {"horizon": xmin, "snapshot": snapshot, "synced_at": now.isoformat()}
    mirror.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
    return rows


def _delete_all_rows(mirror: sqlite3.Connection) -> None:
    for table in ("event", "account", "place", "ticket"):
        mirror.execute(f"DELETE FROM {table}")  # noqa: S608


def _delete_rows_of_past_events(mirror: sqlite3.Connection) -> None:
    for table in ("place", "ticket"):
        mirror.execute(f"DELETE FROM {table} WHERE event_id NOT IN (SELECT id FROM event)")  # noqa: S608
    mirror.execute("DELETE FROM account WHERE id NOT IN (SELECT account_id FROM ticket)")


def _copy_rows(
    mirror: sqlite3.Connection, event_ids: set[int], horizon: str | None, rows_per_query: int
) -> int:
    """Copy the rows of events that changed since a horizon, or all. Return how many."""
    rows = 0
    for places in _read_batches(PLACES, event_ids, horizon, rows_per_query):
        mirror.executemany(
            "INSERT OR REPLACE INTO place VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            map(_times_as_text, places),
        )
        rows += len(places)
    for tickets in _read_batches(TICKETS, event_ids, horizon, rows_per_query):
        mirror.executemany(
            "INSERT OR REPLACE INTO ticket VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            map(_ticket_row, tickets),
        )
        mirror.executemany(
            "INSERT OR REPLACE INTO account VALUES (?,?,?,?,?,?,?,?)",
            map(_account_row, tickets),
        )
        rows += len(tickets)
    return rows


def _read_batches(
    query: str, event_ids: set[int], horizon: str | None, rows_per_query: int
) -> Iterator[list[Any]]:
    parameters = {
        "events": list(event_ids),
        "horizon": horizon,
        "limit": rows_per_query,
        "after": 0,
    }
    while True:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            rows = cursor.fetchall()
        if rows:
            yield rows
        if len(rows) < rows_per_query:
            return
        parameters["after"] = rows[-1][0]


def _replace_events(mirror: sqlite3.Connection, events: list[Any]) -> None:
    mirror.execute("DELETE FROM event")
    mirror.executemany(
        "INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", map(_times_as_text, events)
    )


def _times_as_text(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row with its times in ISO 8601."""
    columns = []
    for value in row:
        columns.append(value.isoformat() if isinstance(value, datetime) else value)
    return tuple(columns)


def _ticket_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the columns of `ticket` from a row of TICKETS."""
    accepted_at: datetime = row[10]
    return (*row[:10], accepted_at.isoformat())


def _account_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the columns of `account` from a row of TICKETS."""
    password, session_nonce, is_active, email, browser = row[11:16]
    verified_at, created_at, ended_sessions = row[16:]
    account = User(password=password, session_nonce=session_nonce)
    # While SECRET_KEY_FALLBACKS names an earlier key, sessions with its hashes are valid.
    hashes = [account.get_session_auth_hash(), *account.get_session_auth_fallback_hash()]
    return (
        row[3],
        " ".join(hashes),
        is_active,
        email,
        browser,
        verified_at.isoformat() if verified_at else None,
        created_at.isoformat(),
        json.dumps(ended_sessions),
    )
