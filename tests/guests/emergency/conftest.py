"""An emergency journal of the test, on a real disk."""

from pathlib import Path

import pytest
from pytest_django import Settings

from guests.emergency.draining import drain
from guests.emergency.entries import Entry
from guests.emergency.journal import Journal
from tests.factories import make_event
from tests.helpers.journal import registration_entry


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "kept" / "journal.sqlite3")


@pytest.fixture
def dead_entry(journal: Journal, transactional_db: None, settings: Settings) -> Entry:
    """A dead entry. It has a phone without an account, and no data to register one."""
    settings.JOURNAL_ATTEMPTS = 2
    settings.JOURNAL_BACKOFF = 0
    entry = registration_entry(make_event(), email="")
    journal.accept(entry)
    drain(journal)
    drain(journal)
    return entry
