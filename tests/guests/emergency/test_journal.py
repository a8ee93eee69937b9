"""The emergency journal on a real disk, and how its entries get into the database."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import close_old_connections, connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import BlockedPhone, Claim, User
from guests.audit import failures
from guests.emergency.draining import MAX_POSTPONES, drain
from guests.emergency.entries import Entry
from guests.emergency.journal import Journal, JournalError
from guests.emergency.replay import replay_entries
from guests.exceptions import GuestError
from guests.models import DeadEntry, Event, Guest, GuestRequest
from guests.requests.accepting import request_place
from guests.requests.creating import create_due_guests
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, make_promoter, make_request
from tests.helpers import servers
from tests.helpers.stack import wait_for

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


def test_a_browser_that_asks_again_gets_the_stored_ticket(journal: Journal, db: None) -> None:
    event = make_event()
    first = journal.accept(entry_for(event))
    assert journal.accept(replace(entry_for(event), ticket_id="another")) == first
    assert journal.count() == {"waiting": 1, "dead": 0}


def test_each_browser_has_an_entry_of_its_own(journal: Journal, db: None) -> None:
    event = make_event()
    first = journal.accept(entry_for(event))
    second = journal.accept(entry_for(event, browser="c" * 32, email="outra@example.com"))
    assert first != second
    emails = [stored.entry.email for stored in journal.due(time.time())]
    assert emails == ["rui@example.com", "outra@example.com"]


def test_what_a_browser_says_last_of_the_person_counts(journal: Journal, db: None) -> None:
    event = make_event()
    first = journal.accept(entry_for(event, promoter_id=7))
    again = journal.accept(entry_for(event, email="rui.novo@example.com"))
    assert again == first
    stored = journal.find(first)
    assert stored is not None
    assert (stored.entry.email, stored.entry.promoter_id) == ("rui.novo@example.com", 7)
    # As from the code step, which knows the phone only.
    journal.accept(entry_for(event, first_name="", last_name="", email=""))
    assert journal.find(first) == stored


def test_a_dead_entry_that_is_asked_for_again_lives_again(
    journal: Journal, dead_entry: Entry
) -> None:
    assert journal.accept(replace(dead_entry, email="rui@example.com")) == dead_entry.ticket_id
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=dead_entry.ticket_id).exists()
    assert not DeadEntry.objects.exists()


def test_an_idempotency_key_is_one_request(journal: Journal, db: None) -> None:
    event, account = make_event(), make_account()
    entry = replace(entry_of(event, account), idempotency_key="k")
    first = journal.accept(entry)
    elsewhere = replace(entry, browser="c" * 32, ticket_id="another")
    assert journal.accept(elsewhere) == first
    with pytest.raises(GuestError, match="key_reused"):
        journal.accept(replace(elsewhere, event_id=event.pk + 1))
    others = replace(entry_of(event, make_account()), idempotency_key="k")
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
    """Write a journal as the previous release did."""
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


def test_a_journal_of_the_previous_release_is_read_and_goes_on(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    kept = entry_for(event)
    write_version_1(journal.path, kept)
    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(lambda _: journal.count()["waiting"], range(8)))
    assert counts == [1] * 8
    assert journal.accept(entry_for(event)) == kept.ticket_id
    assert journal.accept(entry_for(event, browser="c" * 32)) != kept.ticket_id
    assert drain(journal) == 1
    assert GuestRequest.objects.get(ticket_id=kept.ticket_id).account.phone == PHONE


def test_a_process_of_the_previous_release_may_write_beside_ours(
    journal: Journal, db: None
) -> None:
    """It writes its own version into the file, and leaves out what it does not know."""
    event = make_event()
    ours = journal.accept(entry_for(event))
    theirs = entry_for(event, phone="+351920999998")
    with closing(sqlite3.connect(journal.path)) as file, file:
        file.execute("PRAGMA user_version = 1")
        file.execute(
            "INSERT INTO entry (ticket_id, event_id, phone, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            [theirs.ticket_id, theirs.event_id, theirs.phone, theirs.to_json()],
        )
    assert [s.entry.ticket_id for s in journal.due(time.time())] == [ours, theirs.ticket_id]
    assert journal.accept(replace(theirs, ticket_id="another")) == theirs.ticket_id


def test_others_on_this_host_cannot_read_it(journal: Journal, db: None) -> None:
    journal.accept(entry_for(make_event()))
    for file in journal.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


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
    # The holder hears that another browser has registered the phone, too.
    told = Email.objects.order_by("kind").values_list("kind", "to")
    assert list(told) == [("claim", account.email), ("qr_code", account.email)]


def test_a_browser_gets_the_account_back_that_it_registered_before(
    journal: Journal, transactional_db: None
) -> None:
    """As after a commit whose answer was lost: what it made is there, and the entry too."""
    event, account = make_event(), make_account(phone=PHONE, browser="b" * 32)
    first = request_place(event, account)
    ticket_id = journal.accept(entry_for(event))
    assert drain(journal) == 0
    create_due_guests()
    wait_for(lambda: drain(journal) == 1)
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
    wait_for(lambda: drain(journal) == 1)


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
    assert [drain(journal), drain(journal)] == [0, 0]
    servers.postgresql.start()
    close_old_connections()
    stored = journal.find(ticket_id)
    assert stored is not None
    assert (stored.attempts, stored.waits, stored.state) == (0, 0, "waiting")
    assert drain(journal) == 1


def test_the_second_browser_of_a_phone_is_told_and_staff_see_both(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    first = journal.accept(entry_for(event))
    second = journal.accept(
        entry_for(event, browser="c" * 32, first_name="Outra", email="outra@example.com")
    )
    drain(journal)
    create_due_guests()
    wait_for(lambda: drain(journal) == 1)
    create_due_guests()
    requests = {str(request.ticket_id): request for request in GuestRequest.objects.all()}
    assert requests[first].account.email == "rui@example.com"
    assert (requests[first].browser, requests[first].is_second_registration) == ("b" * 32, False)
    assert (requests[second].browser, requests[second].is_second_registration) == ("", True)
    assert {request.guest for request in requests.values()} == {Guest.objects.get()}
    claim = Claim.objects.get()
    assert (claim.account, claim.first_name, claim.email) == (
        requests[first].account,
        "Outra",
        "outra@example.com",
    )
    assert set(Email.objects.values_list("to", flat=True)) == {"rui@example.com"}


def test_the_same_person_in_two_browsers_is_no_second_registration(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    journal.accept(entry_for(event))
    typed = {"first_name": "rui", "last_name": "EXEMPLO", "email": "Rui+festa@Example.com"}
    second = journal.accept(entry_for(event, browser="c" * 32, **typed))
    drain(journal)
    create_due_guests()
    wait_for(lambda: drain(journal) == 1)
    request = GuestRequest.objects.get(ticket_id=second)
    assert (request.browser, request.is_second_registration) == ("", False)
    assert not Claim.objects.exists()


@pytest.mark.parametrize("most", [20, 1])
def test_what_every_further_browser_wrote_is_kept_for_staff(
    journal: Journal, transactional_db: None, settings: Settings, most: int
) -> None:
    """Where they came from is not known, so they do not count as one network."""
    settings.CLAIMS_PER_NETWORK, settings.CLAIMS_PER_ACCOUNT = 2, most
    event, account = make_event(), make_account(phone=PHONE)
    emails = [f"outra{number}@example.com" for number in range(4)]
    for number, email in enumerate(emails):
        journal.accept(entry_for(event, browser=f"{number:032}", email=email))
    for _ in emails:
        make_all_due(journal)
        drain(journal)
        create_due_guests()
    assert journal.count() == {"waiting": 0, "dead": 0}
    claims = Claim.objects.order_by("pk")
    assert sorted(claims.values_list("email", flat=True)) == emails
    assert claims.undecided().filter(account=account).count() == min(most, 4)
    refused = claims.exclude(pk__in=claims.undecided())
    assert {claim.decided_by for claim in refused} <= {"too_many_claims"}
    assert {change.to_state for claim in refused for change in claim.changes.all()} <= {"refused"}


def test_a_claim_on_an_account_that_was_switched_off_is_kept_for_staff(
    journal: Journal, transactional_db: None
) -> None:
    account = make_account(phone=PHONE)
    User.objects.filter(pk=account.pk).update(is_active=False)
    journal.accept(entry_for(make_event()))
    drain(journal)
    claim = Claim.objects.get()
    assert (claim.email, claim.state, claim.decided_by) == ("rui@example.com", "refused", "refused")


def test_an_email_with_as_many_accounts_as_it_may_have_makes_no_account(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    settings.ACCOUNTS_PER_EMAIL, settings.JOURNAL_PATH = 1, journal.path
    make_account(email="rui@example.com")
    entry = entry_for(make_event())
    journal.accept(entry)
    assert drain(journal) == 0
    assert not User.objects.filter(phone=PHONE).exists()
    assert journal.count() == {"waiting": 0, "dead": 1}
    assert DeadEntry.objects.get().error == "email_taken"
    assert list(failures()) == []
    # With another email the same browser gets in.
    journal.accept(replace(entry, email="outra@example.com"))
    assert drain(journal) == 1
    assert User.objects.get(phone=PHONE).email == "outra@example.com"
    assert not DeadEntry.objects.exists()


def test_the_name_of_an_api_call_is_kept(journal: Journal, transactional_db: None) -> None:
    event, account = make_event(), make_account()
    journal.accept(replace(entry_of(event, account), name="Rita da Festa", idempotency_key="k"))
    drain(journal)
    create_due_guests()
    request = GuestRequest.objects.get()
    assert (request.name, request.idempotency_key) == ("Rita da Festa", "k")
    assert Guest.objects.get().name == "Rita da Festa"


def test_a_name_is_only_taken_from_the_account_itself(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    entry = replace(entry_of(event, account), name="Outra Pessoa", session_hash="old")
    journal.accept(replace(entry, idempotency_key="k"))
    drain(journal)
    request = GuestRequest.objects.get()
    assert (request.name, request.idempotency_key) == (account.name, "")


def test_a_key_used_before_the_outage_is_the_same_request(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(capacity=0, has_waiting_list=True), make_account()
    before = request_place(event, account, idempotency_key="k")
    ticket_id = journal.accept(replace(entry_of(event, account), idempotency_key="k"))
    assert drain(journal) == 0
    create_due_guests()
    before.refresh_from_db()
    wait_for(lambda: drain(journal) == 1)
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.guest) == ("waitlisted", before.guest)
    assert Guest.objects.count() == 1


def test_a_key_used_for_another_event_before_the_outage_is_refused(
    journal: Journal, transactional_db: None
) -> None:
    account = make_account()
    request_place(make_event(), account, idempotency_key="k")
    ticket_id = journal.accept(replace(entry_of(make_event(), account), idempotency_key="k"))
    assert drain(journal) == 1
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.refusal) == ("refused", "key_reused")


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
    assert (str(dead.ticket_id), dead.attempts) == (dead_entry.ticket_id, 2)
    assert dead.error.startswith("LookupError (importing.py:")


def test_attempts_wait_longer_and_longer(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    settings.JOURNAL_BACKOFF = 5
    journal.accept(entry_for(make_event(), email=""))
    now = time.time()
    drain(journal)
    assert journal.due(now + 4) == []
    assert len(journal.due(now + 7)) == 1


def test_an_entry_does_not_wait_for_ever_for_another_request(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    """As when no worker ever ends the other one: staff hear of it."""
    settings.JOURNAL_ATTEMPTS = 2
    settings.JOURNAL_BACKOFF = 0
    event, account = make_event(), make_account()
    make_request(event, account)
    ticket_id = journal.accept(entry_of(event, account))
    for _ in range(2 * (MAX_POSTPONES + 1)):
        assert drain(journal) == 0
        make_all_due(journal)
    assert journal.count() == {"waiting": 0, "dead": 1}
    assert str(DeadEntry.objects.get().ticket_id) == ticket_id


def make_all_due(journal: Journal) -> None:
    with closing(sqlite3.connect(journal.path)) as file, file:
        file.execute("UPDATE entry SET next_attempt_at = 0")


def test_entries_that_wait_hold_up_no_other(journal: Journal, transactional_db: None) -> None:
    """More of them than one round takes up."""
    event, account = make_event(capacity=500), make_account()
    make_request(event, account)
    for number in range(101):
        journal.accept(replace(entry_of(event, account), browser=f"{number:032}"))
    last = journal.accept(entry_for(event))
    drain(journal)
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=last).exists()


def test_a_constraint_that_is_not_about_waiting_counts_as_an_attempt(
    journal: Journal, transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    event = make_event()
    entry = entry_of(event, make_account())
    ticket_id = journal.accept(entry)
    good = journal.accept(entry_for(event))
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


def test_a_promoter_who_left_meanwhile_is_a_refusal_and_not_a_failure(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    gone = journal.accept(replace(entry_of(event, make_account()), promoter_id=2**40))
    promoter = make_promoter()
    elsewhere = journal.accept(replace(entry_of(event, make_account()), promoter_id=promoter.pk))
    assert drain(journal) == 2
    for ticket_id in (gone, elsewhere):
        request = GuestRequest.objects.get(ticket_id=ticket_id)
        assert (request.state, request.refusal) == ("refused", "promoter_not_at_event")


def test_an_entry_that_cannot_be_read_is_dead_and_holds_up_no_other(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    bad = journal.accept(entry_for(event, phone="+351920999998"))
    good = journal.accept(entry_for(event))
    with closing(sqlite3.connect(journal.path)) as file, file:
        file.execute("UPDATE entry SET body = '{' WHERE ticket_id = ?", [bad])
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=good).exists()
    assert journal.count() == {"waiting": 0, "dead": 1}
    assert str(DeadEntry.objects.get().ticket_id) == bad


def test_an_entry_that_cannot_even_be_shown_to_staff_holds_up_no_other(
    journal: Journal, transactional_db: None, settings: Settings
) -> None:
    settings.JOURNAL_ATTEMPTS = 1
    event = make_event()
    bad = journal.accept(entry_for(event, ticket_id="no ticket", email=""))
    good = journal.accept(entry_for(event, browser="c" * 32))
    assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=good).exists()
    assert [stored.entry.ticket_id for stored in journal.in_state("dead")] == [bad]


def test_an_account_that_is_locked_holds_up_only_its_own_entry(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    held = journal.accept(entry_of(event, account))
    good = journal.accept(entry_for(event))
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM accounts_user WHERE id = %s FOR UPDATE", [account.pk])
        assert drain(journal) == 1
    assert GuestRequest.objects.filter(ticket_id=good).exists()
    stored = journal.find(held)
    assert stored is not None
    assert (stored.attempts, stored.waits) == (0, 1)
    wait_for(lambda: drain(journal) == 1)


@pytest.mark.parametrize("sqlstate", ["54000", "53100"])
def test_an_entry_that_the_database_never_takes_ends_dead(
    journal: Journal, transactional_db: None, settings: Settings, sqlstate: str
) -> None:
    """As an OperationalError, while the database answers everybody else."""
    settings.JOURNAL_ATTEMPTS = 2
    settings.JOURNAL_BACKOFF = 0
    event, account = make_event(), make_account()
    bad = journal.accept(entry_of(event, account))
    good = journal.accept(entry_for(event))
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


REFUSE_PHONE = """
CREATE FUNCTION refuse_phone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.phone = '{phone}' THEN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_phone BEFORE INSERT ON guests_guestrequest
FOR EACH ROW EXECUTE FUNCTION refuse_phone();
"""


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
