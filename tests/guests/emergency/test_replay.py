"""Another attempt for dead entries and dead requests."""

import pytest
from django.core.management import call_command
from django.utils import timezone

from guests.emergency.draining import drain
from guests.emergency.entries import Entry
from guests.emergency.journal import Journal
from guests.emergency.replay import replay_entries
from guests.models import DeadEntry, GuestRequest
from guests.requests.creating import create_due_guests
from tests.factories import make_account, make_request
from tests.helpers.journal import PHONE


def test_a_replayed_entry_has_all_its_attempts_again(journal: Journal, dead_entry: Entry) -> None:
    make_account(phone=PHONE)
    assert replay_entries(DeadEntry.objects.all(), actor="account:1") == 1
    drain(journal)
    assert GuestRequest.objects.filter(ticket_id=dead_entry.ticket_id).exists()
    assert not DeadEntry.objects.exists()
    whats = [what for _, what in journal.history(dead_entry.ticket_id)]
    assert whats[-2:] == ["revived by account:1", "pending"]


def test_without_go_the_command_only_lists(
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
