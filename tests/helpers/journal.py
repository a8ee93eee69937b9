"""Entries of the emergency journal, as visitors leave them."""

import sqlite3
from contextlib import closing
from dataclasses import replace

from accounts.models import User
from guests.emergency.entries import Entry
from guests.emergency.journal import Journal
from guests.models import Event

PHONE = "+351920999999"


def registration_entry(event: Event, **fields: object) -> Entry:
    """Return the entry that a visitor without an account leaves, with some fields changed."""
    given = Entry(
        event_id=event.pk,
        event_slug=event.slug,
        phone=PHONE,
        first_name="Rui",
        last_name="Exemplo",
        email="rui@example.com",
        language="en",
        browser="b" * 32,
    )
    return replace(given, **fields)  # type: ignore[arg-type]


def account_entry(event: Event, account: User) -> Entry:
    """Return the entry that a signed-in account leaves."""
    return registration_entry(
        event,
        phone=account.phone,
        account_id=account.pk,
        session_hash=account.get_session_auth_hash(),
        first_name="",
        last_name="",
        email="",
    )


def make_all_due(journal: Journal) -> None:
    """Make all entries due, also those that wait for their next attempt."""
    with closing(sqlite3.connect(journal.path)) as file, file:
        file.execute("UPDATE entry SET next_attempt_at = 0")
