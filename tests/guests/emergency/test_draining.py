"""How entries of the journal become requests and guests."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import close_old_connections, connection
from django.utils import timezone

from accounts.models import BlockedPhone
from guests.emergency.draining import drain
from guests.emergency.journal import Journal
from guests.models import Guest, GuestRequest
from guests.requests.accepting import request_place
from guests.requests.creating import create_due_guests
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, make_request
from tests.helpers.journal import PHONE, account_entry, registration_entry
from tests.helpers.own_servers import own_postgresql
from tests.helpers.stack import wait_for


def test_a_registration_becomes_an_account_and_a_guest(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    ticket_id = journal.accept(registration_entry(event))
    assert drain(journal) == 1
    create_due_guests()
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.level, request.browser) == ("created", 3, "b" * 32)
    assert (request.account.phone, request.account.first_name) == (PHONE, "Rui")
    assert journal.count() == {"waiting": 0, "dead": 0}
    assert [what for _, what in journal.history(ticket_id)] == ["accepted", "pending"]
    assert set(Email.objects.values_list("kind", flat=True)) == {"welcome", "qr_code"}


def test_the_entry_of_a_known_phone_goes_to_its_account_and_not_to_the_browser(
    journal: Journal, transactional_db: None
) -> None:
    account = make_account(phone=PHONE)
    ticket_id = journal.accept(registration_entry(make_event()))
    drain(journal)
    create_due_guests()
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.account, request.browser) == (account, "")
    # The holder also receives an email about the other browser.
    emails = Email.objects.order_by("kind").values_list("kind", "to")
    assert list(emails) == [("claim", account.email), ("qr_code", account.email)]


def test_the_entry_of_the_browser_that_registered_the_account_is_its_own(
    journal: Journal, transactional_db: None
) -> None:
    """After a commit whose response was lost there is the account, and the entry as well."""
    event, account = make_event(), make_account(phone=PHONE, browser="b" * 32)
    first = request_place(event, account)
    ticket_id = journal.accept(registration_entry(event))
    assert drain(journal) == 0
    create_due_guests()
    wait_for(lambda: drain(journal) == 1)
    create_due_guests()
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    first.refresh_from_db()
    assert (request.account, request.browser) == (account, "b" * 32)
    assert (request.state, request.guest) == ("created", first.guest)


def test_a_session_that_was_signed_out_does_not_lead_to_its_account(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    entry = replace(account_entry(event, account), phone="+351920999997", session_hash="old")
    journal.accept(entry)
    drain(journal)
    assert not GuestRequest.objects.filter(account=account).exists()


def test_importing_an_entry_twice_makes_one_request(
    journal: Journal, transactional_db: None
) -> None:
    """A drainer can be killed between the commits of the database and of the journal."""
    event, account = make_event(), make_account()
    entry = account_entry(event, account)
    journal.accept(entry)
    drain(journal)
    create_due_guests()
    journal.accept(entry)
    assert drain(journal) == 1
    create_due_guests()
    assert GuestRequest.objects.count() == 1
    assert Guest.objects.count() == 1


def test_drainers_at_the_same_time_make_one_request_for_each_entry(
    journal: Journal, transactional_db: None
) -> None:
    event = make_event()
    accounts = [make_account() for _ in range(15)]
    for account in accounts:
        journal.accept(account_entry(event, account))

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


def test_an_account_with_a_place_keeps_it_and_the_ticket_shows_it(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    guest = make_guest(event, account)
    ticket_id = journal.accept(account_entry(event, account))
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
    ticket_id = journal.accept(account_entry(event, account))
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
    ticket_id = journal.accept(registration_entry(make_event()))
    drain(journal)
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.refusal) == ("refused", "refused")
    assert not Email.objects.exists()


def test_an_entry_accepted_before_the_list_closed_gets_a_place_afterwards(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    entry = account_entry(event, account)
    journal.accept(entry)
    event.list_closes_at = timezone.now()
    event.save()
    drain(journal)
    create_due_guests()
    assert GuestRequest.objects.get(ticket_id=entry.ticket_id).state == "created"


@pytest.mark.slow
def test_a_database_that_is_away_uses_up_no_attempt(
    journal: Journal, transactional_db: None
) -> None:
    postgresql = own_postgresql()
    ticket_id = journal.accept(registration_entry(make_event()))
    postgresql.stop("immediate")
    assert [drain(journal), drain(journal)] == [0, 0]
    postgresql.start()
    close_old_connections()
    stored = journal.find(ticket_id)
    assert stored is not None
    assert (stored.attempts, stored.waits, stored.state) == (0, 0, "waiting")
    assert drain(journal) == 1


def test_the_name_in_an_api_call_is_kept(journal: Journal, transactional_db: None) -> None:
    event, account = make_event(), make_account()
    journal.accept(
        replace(account_entry(event, account), name="Rita da Festa", idempotency_key="k")
    )
    drain(journal)
    create_due_guests()
    request = GuestRequest.objects.get()
    assert (request.name, request.idempotency_key) == ("Rita da Festa", "k")
    assert Guest.objects.get().name == "Rita da Festa"


def test_a_name_is_only_taken_from_the_account_itself(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(), make_account()
    entry = replace(account_entry(event, account), name="Outra Pessoa", session_hash="old")
    journal.accept(replace(entry, idempotency_key="k"))
    drain(journal)
    request = GuestRequest.objects.get()
    assert (request.name, request.idempotency_key) == (account.name, "")


def test_a_key_used_before_the_outage_is_the_same_request(
    journal: Journal, transactional_db: None
) -> None:
    event, account = make_event(capacity=0, has_waiting_list=True), make_account()
    before = request_place(event, account, idempotency_key="k")
    ticket_id = journal.accept(replace(account_entry(event, account), idempotency_key="k"))
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
    ticket_id = journal.accept(replace(account_entry(make_event(), account), idempotency_key="k"))
    assert drain(journal) == 1
    request = GuestRequest.objects.get(ticket_id=ticket_id)
    assert (request.state, request.refusal) == ("refused", "key_reused")
