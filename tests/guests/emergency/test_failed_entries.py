"""Entries that cannot be imported: they wait, or end as dead, and delay no other entry."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from django.db import connection
from pytest_django import Settings

from guests.emergency.draining import MAX_POSTPONES, drain
from guests.emergency.entries import Entry
from guests.emergency.journal import Journal
from guests.models import DeadEntry, GuestRequest
from tests.factories import make_account, make_event, make_promoter, make_request
from tests.helpers.journal import account_entry, make_all_due, registration_entry
from tests.helpers.stack import wait_for

REFUSE_PHONE = """
CREATE FUNCTION refuse_phone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.phone = '{phone}' THEN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_phone BEFORE INSERT ON guests_guestrequest
FOR EACH ROW EXECUTE FUNCTION refuse_phone();
"""


def test_an_entry_is_dead_after_its_attempts_and_staff_see_the_error(
    journal: Journal, dead_entry: Entry
) -> None:
    assert journal.count() == {"waiting": 0, "dead": 1}
    dead = DeadEntry.objects.get()
    assert (str(dead.ticket_id), dead.attempts) == (dead_entry.ticket_id, 2)
    assert dead.error.startswith("LookupError (importing.py:")


def test_the_next_attempt_waits_for_the_backoff(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    settings.JOURNAL_BACKOFF = 5
    journal.accept(registration_entry(make_event(), email=""))
    now = time.time()
    drain(journal)
    assert journal.due(now + 4) == []
    assert len(journal.due(now + 7)) == 1


def test_an_entry_that_waits_too_long_for_another_request_is_dead(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    """When no worker ends the other request, staff see the dead entry."""
    settings.JOURNAL_ATTEMPTS = 2
    settings.JOURNAL_BACKOFF = 0
    event, account = make_event(), make_account()
    make_request(event, account)
    ticket_id = journal.accept(account_entry(event, account))
    for _ in range(2 * (MAX_POSTPONES + 1)):
        assert drain(journal) == 0
        make_all_due(journal)
    assert journal.count() == {"waiting": 0, "dead": 1}
    assert str(DeadEntry.objects.get().ticket_id) == ticket_id


@pytest.mark.slow
def test_entries_that_wait_do_not_delay_others(journal: Journal, transactional_db: None) -> None:
    """More entries wait than one round imports."""
    event, account = make_event(capacity=500), make_account()
    make_request(event, account)
    for number in range(101):
        journal.accept(replace(account_entry(event, account), browser=f"{number:032}"))
    last = journal.accept(registration_entry(event))
    drain(journal)
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=last).exists()


def test_a_constraint_that_is_not_about_waiting_counts_as_an_attempt(
    journal: Journal, transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    event = make_event()
    entry = account_entry(event, make_account())
    ticket_id = journal.accept(entry)
    good = journal.accept(registration_entry(event))
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE guests_guestrequest ADD CONSTRAINT odd CHECK (phone <> %s)", [entry.phone]
        )
    try:
        assert drain(journal) == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE guests_guestrequest DROP CONSTRAINT odd")
    stored = journal.find(ticket_id)
    assert stored is not None
    assert stored.attempts == 1
    assert stored.error.startswith("IntegrityError odd (")
    assert entry.phone not in caplog.text
    assert "draining_failed" in caplog.text
    assert GuestRequest.objects.filter(ticket_id=good).exists()


def test_the_entry_of_a_promoter_who_left_the_event_is_attributed_to_nobody(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    gone = journal.accept(replace(account_entry(event, make_account()), promoter_id=2**40))
    promoter = make_promoter()
    elsewhere = journal.accept(
        replace(account_entry(event, make_account()), promoter_id=promoter.pk)
    )
    assert drain(journal) == 2
    for ticket_id in (gone, elsewhere):
        request = GuestRequest.objects.get(ticket_id=ticket_id)
        assert (request.state, request.promoter, request.team) == ("pending", None, None)


def test_an_entry_that_cannot_be_read_is_dead_and_does_not_delay_others(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    bad = journal.accept(registration_entry(event, phone="+351920999998"))
    good = journal.accept(registration_entry(event))
    with closing(sqlite3.connect(journal.path)) as file, file:
        file.execute("UPDATE entry SET body = '{' WHERE ticket_id = ?", [bad])
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=good).exists()
    assert journal.count() == {"waiting": 0, "dead": 1}
    assert str(DeadEntry.objects.get().ticket_id) == bad


def test_an_entry_that_cannot_be_stored_as_dead_does_not_delay_others(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    settings.JOURNAL_ATTEMPTS = 1
    event = make_event()
    bad = journal.accept(registration_entry(event, ticket_id="no ticket", email=""))
    good = journal.accept(registration_entry(event, browser="c" * 32))
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=good).exists()
    assert [stored.entry.ticket_id for stored in journal.in_state("dead")] == [bad]


def test_a_locked_account_delays_only_its_own_entry(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    held = journal.accept(account_entry(event, account))
    good = journal.accept(registration_entry(event))
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM accounts_user WHERE id = %s FOR UPDATE", [account.pk])
        assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=good).exists()
    stored = journal.find(held)
    assert stored is not None
    assert (stored.attempts, stored.waits) == (0, 1)
    wait_for(lambda: drain(journal) == 1)


@pytest.mark.parametrize("sqlstate", ["54000", "53100"])
def test_an_entry_that_the_database_always_refuses_is_dead(
    journal: Journal, transactional_db: None, settings: Settings, sqlstate: str
) -> None:
    """The database refuses it with an OperationalError and accepts other entries."""
    settings.JOURNAL_ATTEMPTS = 2
    settings.JOURNAL_BACKOFF = 0
    event, account = make_event(), make_account()
    bad = journal.accept(account_entry(event, account))
    good = journal.accept(registration_entry(event))
    with connection.cursor() as cursor:
        cursor.execute(REFUSE_PHONE.format(phone=account.phone, sqlstate=sqlstate))
    try:
        assert drain(journal) == 1
        stored = journal.find(bad)
        assert stored is not None
        assert (stored.attempts, stored.waits) == (0, 1)
        for _ in range(2 * (MAX_POSTPONES + 1)):
            make_all_due(journal)
            drain(journal)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_phone CASCADE")
    assert journal.count() == {"waiting": 0, "dead": 1}
    dead = DeadEntry.objects.get()
    assert str(dead.ticket_id) == bad
    assert dead.error.startswith("OperationalError (")
    assert GuestRequest.objects.filter(ticket_id=good).exists()
