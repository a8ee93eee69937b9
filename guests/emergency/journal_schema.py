"""The tables of the journal's SQLite file, and the upgrade of a file of an earlier release."""

import sqlite3
from time import monotonic, sleep

SCHEMA_VERSION = 4
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
    # Earlier releases keep their snapshots in the table `event`: they cannot read fields of events
    # that they do not know, and share this file during a deployment.
    "CREATE TABLE IF NOT EXISTS snapshot (slug TEXT PRIMARY KEY, body TEXT NOT NULL)",
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
# Version 1 has one entry for each event and phone, without a browser.
COPY_FROM_VERSION_1 = """
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
# A process of the previous release can add entries to a newer file, without their browser.
FILL_IN_BROWSERS = """
UPDATE OR IGNORE entry SET browser = coalesce(json_extract(body, '$.browser'), '')
WHERE browser = '' AND json_valid(body)
"""


def prepare_schema(journal: sqlite3.Connection, *, timeout: float) -> None:
    """Create the tables or upgrade the file, unless it has the current version already.

    Several processes can do this at once. SQLite does not wait for a lock while a file changes to
    WAL mode, so the change is tried again for `timeout` seconds. Raises sqlite3.Error.
    """
    give_up_at = monotonic() + timeout
    while journal.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        try:
            journal.execute("PRAGMA journal_mode = WAL")
            journal.execute("BEGIN IMMEDIATE")
            _upgrade(journal)
            journal.execute("COMMIT")
        except sqlite3.OperationalError:
            if journal.in_transaction:
                journal.execute("ROLLBACK")
            if monotonic() > give_up_at:
                raise
            sleep(0.01)


def _upgrade(journal: sqlite3.Connection) -> None:
    """Create the tables, with the entries of version 1 if the file has any.

    A second run changes nothing. During a deployment, processes of two releases share the file, and
    those of the previous release set its version back to their own.
    """
    columns = {row[1] for row in journal.execute("PRAGMA table_info(entry)")}
    is_version_1 = bool(columns) and "browser" not in columns
    if is_version_1:
        journal.execute("ALTER TABLE entry RENAME TO entry_of_version_1")
    for table in TABLES:
        journal.execute(table)
    if is_version_1:
        journal.execute(COPY_FROM_VERSION_1)
        journal.execute("DROP TABLE entry_of_version_1")
    journal.execute(FILL_IN_BROWSERS)
    journal.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
