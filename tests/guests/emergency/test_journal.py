"""The file of the emergency journal on a real disk."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from guests.emergency.draining import drain
from guests.emergency.entries import Entry
from guests.emergency.journal import Journal, JournalError
from guests.exceptions import GuestError
from guests.models import DeadEntry, GuestRequest
from tests.factories import make_account, make_event
from tests.helpers.journal import PHONE, account_entry, registration_entry


class LimitedJournal(Journal):
    """A journal whose file cannot grow."""

    def __init__(self, path: Path, pages: int) -> None:
        super().__init__(path)
        self.pages = pages

    def _prepare(self, journal: sqlite3.Connection) -> None:
        super()._prepare(journal)
        journal.execute(f"PRAGMA max_page_count = {self.pages}")


def test_an_entry_survives_closing_the_file(journal: Journal, db: None) -> None:
    entry = registration_entry(make_event())
    assert journal.accept(entry) == entry.ticket_id
    again = Journal(journal.path)
    assert [stored.entry for stored in again.due(time.time())] == [entry]


def test_it_syncs_every_entry(journal: Journal) -> None:
    with journal._open() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_browser_that_asks_again_gets_the_stored_ticket(journal: Journal, db: None) -> None:
    event = make_event()
    first = journal.accept(registration_entry(event))
    assert journal.accept(replace(registration_entry(event), ticket_id="another")) == first
    assert journal.count() == {"waiting": 1, "dead": 0}


def test_each_browser_has_an_entry_of_its_own(journal: Journal, db: None) -> None:
    event = make_event()
    first = journal.accept(registration_entry(event))
    second = journal.accept(registration_entry(event, browser="c" * 32, email="outra@example.com"))
    assert first != second
    emails = [stored.entry.email for stored in journal.due(time.time())]
    assert emails == ["rui@example.com", "outra@example.com"]


def test_the_last_personal_data_from_a_browser_count(journal: Journal, db: None) -> None:
    event = make_event()
    first = journal.accept(registration_entry(event, promoter_id=7))
    again = journal.accept(registration_entry(event, email="rui.novo@example.com"))
    assert again == first
    stored = journal.find(first)
    assert stored is not None
    assert (stored.entry.email, stored.entry.promoter_id) == ("rui.novo@example.com", 7)
    # The code step knows the phone only.
    journal.accept(registration_entry(event, first_name="", last_name="", email=""))
    assert journal.find(first) == stored


def test_a_new_request_from_the_browser_of_a_dead_entry_revives_it(
    journal: Journal, dead_entry: Entry
) -> None:
    assert journal.accept(replace(dead_entry, email="rui@example.com")) == dead_entry.ticket_id
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=dead_entry.ticket_id).exists()
    assert not DeadEntry.objects.exists()


def test_an_idempotency_key_is_one_request(journal: Journal, db: None) -> None:
    event, account = make_event(), make_account()
    entry = replace(account_entry(event, account), idempotency_key="k")
    first = journal.accept(entry)
    elsewhere = replace(entry, browser="c" * 32, ticket_id="another")
    assert journal.accept(elsewhere) == first
    with pytest.raises(GuestError, match="key_reused"):
        journal.accept(replace(elsewhere, event_id=event.pk + 1))
    others = replace(account_entry(event, make_account()), idempotency_key="k")
    assert journal.accept(others) == others.ticket_id


VERSION_1 = """
CREATE TABLE entry (
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
CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket_id TEXT NOT NULL, at TEXT NOT NULL, what TEXT NOT NULL
);
CREATE TABLE event (slug TEXT PRIMARY KEY, body TEXT NOT NULL);
PRAGMA user_version = 1;
"""


def write_version_1(path: Path, *entries: Entry) -> None:
    """Write a journal as the previous release does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript(VERSION_1)
        for entry in entries:
            body = asdict(entry)
            del body["name"], body["idempotency_key"]
            file.execute(
                "INSERT INTO entry (ticket_id, event_id, phone, body) VALUES (?, ?, ?, ?)",
                [entry.ticket_id, entry.event_id, entry.phone, json.dumps(body)],
            )


def test_a_journal_of_the_previous_release_is_read_and_extended(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    kept = registration_entry(event)
    write_version_1(journal.path, kept)
    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(lambda _: journal.count()["waiting"], range(8)))
    assert counts == [1] * 8
    assert journal.accept(registration_entry(event)) == kept.ticket_id
    assert journal.accept(registration_entry(event, browser="c" * 32)) != kept.ticket_id
    assert drain(journal) == 1
    assert GuestRequest.objects.get(ticket_id=kept.ticket_id).account.phone == PHONE


def test_a_process_of_the_previous_release_can_write_to_the_same_file(
    journal: Journal, db: None
) -> None:
    """The old process writes its own version into the file and omits columns it does not know."""
    event = make_event()
    ours = journal.accept(registration_entry(event))
    theirs = registration_entry(event, phone="+351920999998")
    with closing(sqlite3.connect(journal.path)) as file, file:
        file.execute("PRAGMA user_version = 1")
        file.execute(
            "INSERT INTO entry (ticket_id, event_id, phone, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            [theirs.ticket_id, theirs.event_id, theirs.phone, theirs.to_json()],
        )
    assert [s.entry.ticket_id for s in journal.due(time.time())] == [ours, theirs.ticket_id]
    assert journal.accept(replace(theirs, ticket_id="another")) == theirs.ticket_id


def test_other_users_of_the_host_cannot_read_the_journal(journal: Journal, db: None) -> None:
    journal.accept(registration_entry(make_event()))
    for file in journal.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_parallel_entries_of_one_browser_are_one(journal: Journal, db: None) -> None:
    event = make_event()
    entries = [registration_entry(event)] * 20
    with ThreadPoolExecutor(20) as threads:
        tickets = list(threads.map(journal.accept, entries))
    assert len(set(tickets)) == 1


def test_a_full_disk_is_an_error_and_keeps_nothing(journal: Journal, db: None) -> None:
    event = make_event()
    journal.accept(registration_entry(event))
    with sqlite3.connect(journal.path) as connection:
        full = connection.execute("PRAGMA page_count").fetchone()[0]
    # The limit of SQLite gives the same SQLITE_FULL. tests/faults fills a real disk.
    limited = LimitedJournal(journal.path, full)
    long = registration_entry(event, phone="+351920999998", first_name="x" * 100_000)
    with pytest.raises(JournalError, match="full"):
        limited.accept(long)
    assert journal.find(long.ticket_id) is None


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, db: None) -> None:
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "journal.sqlite3")
    with pytest.raises(JournalError):
        journal.accept(registration_entry(make_event()))
    assert not journal.is_writable()
