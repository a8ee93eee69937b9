"""The mirror of places that holders see while the database is away."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.sessions import RememberedAccount
from guests.emergency import snapshots
from guests.emergency.mirror import Mirror, get_mirror
from guests.emergency.mirror_sync import delete_mirror, sync_mirror
from guests.models import Event, Guest
from guests.place_status import status_of
from guests.requests.creating import create_due_guests
from guests.requests.waiting_list import cancel_guests, fill_free_places
from snap.local_cache import reset_process_state
from tests.factories import make_account, make_event, make_guest, make_request, make_staff

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "kept" / "places.sqlite3")


def state_in(mirror: Mirror, event: Event, account: User) -> str:
    known = mirror.find_latest_ticket(event.pk, account.pk)
    return known.to_ticket().state if known else ""


def session_of(account: User) -> RememberedAccount:
    return RememberedAccount(account.pk, account.get_session_auth_hash())


def test_a_session_from_before_a_change_of_the_key_has_not_ended(
    mirror: Mirror, settings: Settings
) -> None:
    guest = make_guest()
    old = session_of(guest.account)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    sync_mirror(mirror.path)
    assert not mirror.has_ended(old)
    settings.SECRET_KEY_FALLBACKS = []
    delete_mirror(mirror.path)
    sync_mirror(mirror.path)
    assert mirror.has_ended(old)


def test_the_mirror_has_a_place_as_its_holder_saw_it(mirror: Mirror) -> None:
    guest = make_guest()
    sync_mirror(mirror.path)
    known = mirror.find_latest_ticket(guest.event_id, guest.account_id)
    assert known is not None
    ticket = known.to_ticket()
    assert (ticket.state, ticket.name, ticket.guest_id) == ("created", guest.name, guest.pk)
    assert guest.qr_token is not None
    assert guest.qr_token in ticket.qr_code_url
    assert ticket.as_of
    assert known.belongs_to(session_of(guest.account))
    assert not known.belongs_to(session_of(make_account()))
    assert not known.belongs_to(None)


def told_by(mirror: Mirror, token: str) -> str:
    """Return what the holder of a token is told at level 3, "" if this host does not know it."""
    found = mirror.find_pass(token)
    if found is None or found.guest is None:
        return ""
    return status_of(found.guest, token=token).code


def test_a_sync_copies_changes_and_reads_nothing_else(mirror: Mirror) -> None:
    event = make_event(capacity=1)
    first, second = make_guest(event), make_guest(event)
    sync_mirror(mirror.path)
    assert sync_mirror(mirror.path) == 0
    assert state_in(mirror, event, second.account) == "waitlisted"
    cancel_guests(first.event_id, [first.pk], acting_user=make_staff())
    assert 0 < sync_mirror(mirror.path) <= 4
    assert state_in(mirror, event, first.account) == "cancelled"
    assert state_in(mirror, event, second.account) == "created"
    assert told_by(mirror, first.qr_token or "") == "removed"


def test_a_guest_in_the_waiting_list_has_a_position(mirror: Mirror) -> None:
    event = make_event(capacity=0)
    guests = [make_guest(event) for _ in range(3)]
    sync_mirror(mirror.path)
    found = [mirror.find_latest_ticket(event.pk, guest.account_id) for guest in guests]
    assert [known.position for known in found if known] == [1, 2, 3]
    event.capacity = 1
    event.save()
    fill_free_places(event)
    sync_mirror(mirror.path)
    last = mirror.find_latest_ticket(event.pk, guests[2].account_id)
    assert last is not None
    assert last.to_ticket().position == 2


def test_a_new_code_and_a_new_session_are_copied(mirror: Mirror) -> None:
    """They change no state, so the history does not have them."""
    guest = make_guest()
    sync_mirror(mirror.path)
    old = replace(session_of(guest.account), session_id="old")
    guest.account.sign_out_everywhere()
    Guest.objects.filter(pk=guest.pk).update(qr_token="another")
    sync_mirror(mirror.path)
    new = replace(session_of(guest.account), session_id="new")
    assert mirror.has_ended(old)
    assert not mirror.has_ended(new)
    guest.account.end_session("new")
    sync_mirror(mirror.path)
    assert mirror.has_ended(new)
    assert not mirror.has_ended(replace(new, session_id="newest"))
    assert told_by(mirror, guest.qr_token or "") == "replaced"
    assert told_by(mirror, "another") == "valid"


def test_a_proof_is_copied(mirror: Mirror) -> None:
    guest = make_guest(make_event(requires_proof=True))
    sync_mirror(mirror.path)
    assert state_in(mirror, guest.event, guest.account) == "unproven"
    User.objects.filter(pk=guest.account_id).update(verified_at=timezone.now())
    sync_mirror(mirror.path)
    assert state_in(mirror, guest.event, guest.account) == "created"


def test_a_late_commit_is_copied(mirror: Mirror) -> None:
    """Its transaction began before the sync, with lower ids than those that the sync saw."""
    event = make_event()
    slow, quick = make_request(event), make_request(event)
    sync_mirror(mirror.path)
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute(
            "UPDATE guests_guestrequest SET name = 'Late' WHERE id = %s RETURNING id", [slow.pk]
        )
        type(quick).objects.filter(pk=quick.pk).update(name="Quick")
        sync_mirror(mirror.path)
        type(quick).objects.filter(pk=quick.pk).update(name="Quicker")
        sync_mirror(mirror.path)
    sync_mirror(mirror.path)
    found = [mirror.find_ticket(request.ticket_id) for request in (slow, quick)]
    assert [known.request.name for known in found if known] == ["Late", "Quicker"]


def test_a_request_in_progress_is_queued(mirror: Mirror) -> None:
    request = make_request()
    sync_mirror(mirror.path)
    assert state_in(mirror, request.event, request.account) == "queued"
    create_due_guests()
    sync_mirror(mirror.path)
    assert state_in(mirror, request.event, request.account) == "created"


def test_events_that_are_over_are_removed(mirror: Mirror) -> None:
    over, ahead = make_guest(), make_guest()
    sync_mirror(mirror.path)
    now = timezone.now()
    Event.objects.filter(pk=over.event_id).update(
        starts_at=now - timedelta(hours=2), ends_at=now - timedelta(seconds=1)
    )
    sync_mirror(mirror.path)
    with closing(sqlite3.connect(mirror.path)) as file:
        for table, column in (("place", "event_id"), ("ticket", "event_id"), ("account", "id")):
            kept = file.execute(f"SELECT {column} FROM {table}").fetchall()
            expected = ahead.account_id if table == "account" else ahead.event_id
            assert kept == [(expected,)]


def test_an_event_that_ends_during_the_outage_is_shown_as_over(mirror: Mirror) -> None:
    guest = make_guest()
    sync_mirror(mirror.path)
    with closing(sqlite3.connect(mirror.path)) as file, file:
        file.execute("UPDATE event SET ends_at = ?", [timezone.now().isoformat()])
    found = mirror.find_pass(guest.qr_token or "")
    assert found is not None
    assert (found.to_ticket().place, found.to_ticket().shows_code) == ("over", False)


def test_a_bounded_mirror_has_the_next_events(mirror: Mirror) -> None:
    later = make_guest(make_event(starts_at=timezone.now() + timedelta(days=6)))
    sooner = make_guest(make_event(starts_at=timezone.now() + timedelta(days=2)))
    sync_mirror(mirror.path, max_places=1)
    assert mirror.find_pass(sooner.qr_token or "") is not None
    assert mirror.find_pass(later.qr_token or "") is None


def test_more_rows_than_one_query_reads_are_copied(mirror: Mirror) -> None:
    event = make_event()
    guests = [make_guest(event) for _ in range(5)]
    assert sync_mirror(mirror.path, rows_per_query=2) == 10
    for guest in guests:
        assert mirror.find_pass(guest.qr_token or "")


def test_a_broken_file_is_replaced(mirror: Mirror) -> None:
    guest = make_guest()
    sync_mirror(mirror.path)
    mirror.path.write_bytes(b"no database at all" * 1000)
    assert mirror.find_pass(guest.qr_token or "") is None
    with pytest.raises(sqlite3.DatabaseError):
        sync_mirror(mirror.path)
    sync_mirror(mirror.path)
    assert mirror.find_pass(guest.qr_token or "") is not None


def test_a_restored_database_is_read_again(mirror: Mirror) -> None:
    guest = make_guest()
    sync_mirror(mirror.path)
    with closing(sqlite3.connect(mirror.path)) as file, file:
        file.execute("UPDATE meta SET value = '9223372036854775807' WHERE key = 'horizon'")
        file.execute("UPDATE place SET name = 'Old name'")
    assert sync_mirror(mirror.path) == 2
    known = mirror.find_pass(guest.qr_token or "")
    assert known is not None
    assert known.guest is not None
    assert known.guest.name == guest.name


def test_parallel_syncs_do_not_undo_each_other(mirror: Mirror) -> None:
    event = make_event()
    accounts = [make_account() for _ in range(8)]

    def register(account: User) -> None:
        try:
            make_guest(event, account)
            sync_mirror(mirror.path)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(register, accounts))
    sync_mirror(mirror.path)
    assert [state_in(mirror, event, account) for account in accounts] == ["created"] * 8


def test_other_users_of_the_host_cannot_read_the_mirror(mirror: Mirror) -> None:
    make_guest()
    sync_mirror(mirror.path)
    for file in mirror.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_a_mirror_that_is_a_day_old_is_not_used(mirror: Mirror) -> None:
    guest = make_guest()
    sync_mirror(mirror.path)
    with closing(sqlite3.connect(mirror.path)) as file, file:
        before = timezone.now() - timedelta(days=1, seconds=1)
        file.execute("UPDATE meta SET value = ? WHERE key = 'synced_at'", [before.isoformat()])
    assert mirror.find_pass(guest.qr_token or "") is None


def test_the_sweeper_stores_events_that_no_visitor_has_opened_on_this_host() -> None:
    reset_process_state()
    hidden = make_event(slug="secreta")
    event = make_event(slug="festa")
    call_command("sweeper", once=True)
    assert snapshots.load_listed_events() == [hidden, event]
    Event.objects.filter(pk=hidden.pk).update(is_published=False)
    call_command("sweeper", once=True)
    assert snapshots.load_listed_events() == [event]


def test_the_sweeper_syncs_the_mirror() -> None:
    guest = make_guest()
    call_command("sweeper", once=True)
    assert get_mirror().find_pass(guest.qr_token or "") is not None
