"""The emergency journal on a real disk, and how its entries get into the database."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import close_old_connections, connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import BlockedPhone, User
from guests.creation import create_due_guests
from guests.draining import drain
from guests.journal import Entry, Journal, JournalError
from guests.models import DeadEntry, Event, Guest, GuestRequest
from guests.replay import replay_entries
from guests.services import request_place
from notifications.models import Email
from tests import servers
from tests.factories import make_account, make_event, make_guest, make_request

PHONE = "+351920999999"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "kept" / "journal.sqlite3")


def entry_for(event: Event, **fields: object) -> Entry:
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


def entry_of(event: Event, account: User) -> Entry:
    """What a signed-in account leaves."""
    return entry_for(
        event,
        phone=account.phone,
        account_id=account.pk,
        session_hash=account.get_session_auth_hash(),
        first_name="",
        last_name="",
        email="",
    )


# The journal ------------------------------------------------------------------------------------


def test_an_entry_is_there_after_the_file_was_closed(journal: Journal, db: None) -> None:
    entry = entry_for(make_event())
    assert journal.accept(entry) == entry.ticket_id
    again = Journal(journal.path)
    assert [stored.entry for stored in again.due(time.time())] == [entry]


def test_it_syncs_every_entry(journal: Journal) -> None:
    with journal._open() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_phone_that_asks_again_gets_the_stored_ticket(journal: Journal, db: None) -> None:
    event = make_event()
    first = journal.accept(entry_for(event))
    assert journal.accept(replace(entry_for(event), ticket_id="another")) == first
    assert journal.count() == {"waiting": 1, "dead": 0}


def test_parallel_entries_of_one_phone_are_one(journal: Journal, db: None) -> None:
    event = make_event()
    entries = [entry_for(event) for _ in range(1)] * 20
    with ThreadPoolExecutor(20) as threads:
        tickets = list(threads.map(journal.accept, entries))
    assert len(set(tickets)) == 1


def test_a_full_disk_is_an_error_and_keeps_nothing(journal: Journal, db: None) -> None:
    event = make_event()
    journal.accept(entry_for(event))
    with sqlite3.connect(journal.path) as connection:
        full = connection.execute("PRAGMA page_count").fetchone()[0]
    # SQLite's own limit gives the same SQLITE_FULL; a really full disk is in tests/faults.
    limited = LimitedJournal(journal.path, full)
    long = entry_for(event, phone="+351920999998", first_name="x" * 100_000)
    with pytest.raises(JournalError, match="full"):
        limited.accept(long)
    assert journal.find(long.ticket_id) is None


class LimitedJournal(Journal):
    """A journal whose file may not grow."""

    def __init__(self, path: Path, pages: int) -> None:
        super().__init__(path)
        self.pages = pages

    def _prepare(self, journal: sqlite3.Connection) -> None:
        super()._prepare(journal)
        journal.execute(f"PRAGMA max_page_count = {self.pages}")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, db: None) -> None:
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "journal.sqlite3")
    with pytest.raises(JournalError):
        journal.accept(entry_for(make_event()))
    assert not journal.is_writable()


# Draining ----------------------------------------------------------------------------------------


def test_a_registration_becomes_an_account_and_a_guest(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    ticket_id = journal.accept(entry_for(event))
    assert drain(journal) == 1
    create_due_guests()
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.level, request.browser) == ("created", 3, "b" * 32)
    assert (request.account.phone, request.account.first_name) == (PHONE, "Rui")
    assert journal.count() == {"waiting": 0, "dead": 0}
    assert [what for _, what in journal.history(ticket_id)] == ["accepted", "pending"]
    assert set(Email.objects.values_list("kind", flat=True)) == {"welcome", "qr_code"}


def test_a_known_phone_gets_its_own_account_and_the_browser_nothing(
    journal: Journal, transactional_db: None
) -> None:
    account = make_account(phone=PHONE)
    ticket_id = journal.accept(entry_for(make_event()))
    drain(journal)
    create_due_guests()
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.account, request.browser) == (account, "")
    assert list(Email.objects.values_list("kind", "to")) == [("qr_code", account.email)]


def test_a_browser_gets_the_account_back_that_it_registered_before(
    journal: Journal, transactional_db: None
) -> None:
    """As after a commit whose answer was lost: what it made is there, and the entry too."""
    event, account = make_event(), make_account(phone=PHONE, browser="b" * 32)
    first = request_place(event, account)
    ticket_id = journal.accept(entry_for(event))
    assert drain(journal) == 0
    create_due_guests()
    assert drain(journal) == 1
    create_due_guests()
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    first.refresh_from_db()
    assert (request.account, request.browser) == (account, "b" * 32)
    assert (request.state, request.guest) == ("created", first.guest)


def test_a_session_that_was_signed_out_is_only_its_phone(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    entry = replace(entry_of(event, account), phone="+351920999997", session_hash="old")
    journal.accept(entry)
    drain(journal)
    assert not GuestRequest.objects.filter(account=account).exists()


def test_carrying_an_entry_twice_does_nothing(journal: Journal, transactional_db: None) -> None:
    """As after a drainer was killed between the database's commit and the journal's."""
    event, account = make_event(), make_account()
    entry = entry_of(event, account)
    journal.accept(entry)
    drain(journal)
    create_due_guests()
    journal.accept(entry)
    assert drain(journal) == 1
    create_due_guests()
    assert GuestRequest.objects.count() == 1
    assert Guest.objects.count() == 1


def test_two_drainers_at_once_make_one_request_each(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    accounts = [make_account() for _ in range(15)]
    for account in accounts:
        journal.accept(entry_of(event, account))

    def drain_here(_: int) -> int:
        try:
            return drain(journal)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(drain_here, range(4)))
    drain(journal)
    create_due_guests()
    assert GuestRequest.objects.count() == Guest.objects.count() == 15
    assert journal.count() == {"waiting": 0, "dead": 0}


def test_an_account_with_a_place_keeps_it_and_the_ticket_ends_with_it(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    guest = make_guest(event, account)
    ticket_id = journal.accept(entry_of(event, account))
    drain(journal)
    create_due_guests()
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.guest) == ("created", guest)
    assert Email.objects.filter(kind="qr_code").count() == 1


def test_an_entry_waits_for_a_pending_request_without_using_up_attempts(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    make_request(event, account)
    ticket_id = journal.accept(entry_of(event, account))
    assert drain(journal) == 0
    stored = journal.find(ticket_id)
    assert stored is not None
    assert stored.attempts == 0
    create_due_guests()
    assert drain(journal) == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_a_blocked_phone_is_refused_with_a_row_that_staff_see(
    journal: Journal, transactional_db: None, is_known: bool
) -> None:
    if is_known:
        make_account(phone=PHONE)
    BlockedPhone.objects.create(phone=PHONE, reason="test")
    ticket_id = journal.accept(entry_for(make_event()))
    drain(journal)
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.refusal) == ("refused", "refused")
    assert not Email.objects.exists()


def test_what_was_accepted_before_the_list_closed_is_let_in_after(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    entry = entry_of(event, account)
    journal.accept(entry)
    event.list_closes_at = timezone.now()
    event.save()
    drain(journal)
    create_due_guests()
    assert GuestRequest.objects.get(ticket_id=entry.ticket_id).state == "created"


def test_a_database_that_is_away_uses_up_no_attempt(
    journal: Journal, transactional_db: None
) -> None:
    if servers.postgresql is None:
        pytest.skip("only a server that the tests started may be stopped")
    ticket_id = journal.accept(entry_for(make_event()))
    servers.postgresql.stop("immediate")
    assert drain(journal) == 0
    servers.postgresql.start()
    close_old_connections()
    stored = journal.find(ticket_id)
    assert stored is not None
    assert (stored.attempts, stored.state) == (0, "waiting")
    assert drain(journal) == 1


# What cannot be carried ---------------------------------------------------------------------------


@pytest.fixture
def dead_entry(journal: Journal, transactional_db: None, settings: Settings) -> Entry:
    """An entry for a phone that has no account, which nobody registered."""
    settings.JOURNAL_ATTEMPTS = 2
    settings.JOURNAL_BACKOFF = 0
    entry = entry_for(make_event(), email="")
    journal.accept(entry)
    drain(journal)
    drain(journal)
    return entry


def test_it_is_dead_after_its_attempts_and_staff_see_why(
    journal: Journal, dead_entry: Entry
) -> None:
    assert journal.count() == {"waiting": 0, "dead": 1}
    dead = DeadEntry.objects.get()
    assert (str(dead.ticket_id), dead.error, dead.attempts) == (
        dead_entry.ticket_id,
        "LookupError",
        2,
    )


def test_attempts_wait_longer_and_longer(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    settings.JOURNAL_BACKOFF = 5
    journal.accept(entry_for(make_event(), email=""))
    now = time.time()
    drain(journal)
    assert journal.due(now + 4) == []
    assert len(journal.due(now + 7)) == 1


def test_a_replay_gives_it_all_its_attempts_again(journal: Journal, dead_entry: Entry) -> None:
    make_account(phone=PHONE)
    assert replay_entries(DeadEntry.objects.all(), actor="account:1") == 1
    drain(journal)
    assert GuestRequest.objects.filter(ticket_id=dead_entry.ticket_id).exists()
    assert not DeadEntry.objects.exists()
    whats = [what for _, what in journal.history(dead_entry.ticket_id)]
    assert whats[-2:] == ["revived by account:1", "pending"]


def test_the_command_only_lists_without_go(
    journal: Journal, dead_entry: Entry, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("replay")
    out = capsys.readouterr().out
    assert dead_entry.ticket_id in out
    assert "Nothing was done" in out
    assert DeadEntry.objects.get().replay_by == ""


def test_the_command_replays_by_ticket(journal: Journal, dead_entry: Entry) -> None:
    call_command("replay", "--go", "00000000-0000-4000-8000-000000000000")
    assert DeadEntry.objects.get().replay_by == ""
    call_command("replay", "--go", dead_entry.ticket_id)
    assert DeadEntry.objects.get().replay_by == "manage.py replay"


def test_a_dead_request_is_replayed(transactional_db: None) -> None:
    request = make_request()
    dead = GuestRequest.objects.filter(pk=request.pk)
    dead.update(state="dead", ended_at=timezone.now(), attempts=3, error="KeyError")
    call_command("replay", "--go")
    create_due_guests()
    assert dead.get().state == "created"
