"""The audit reports each broken invariant, and nothing when all is well."""

import json
import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db.models.functions import Now
from pytest_django import Settings

from guests.emergency.entries import Entry
from guests.emergency.journal import get_journal
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import image_name
from tests.factories import make_account, make_event, make_guest, make_request

pytestmark = pytest.mark.django_db


def audit() -> dict[str, Any]:
    output, exit_code = StringIO(), 0
    try:
        call_command("audit", "--json", stdout=output)
    except SystemExit as end:
        exit_code = int(end.code or 0)
    found: dict[str, Any] = json.loads(output.getvalue())
    assert exit_code == int(bool(found["failures"]))
    return found


def test_guests_and_a_waiting_list_give_no_failure() -> None:
    event = make_event(capacity=1)
    for _ in range(3):
        make_guest(event)
    assert audit() == {"failures": [], "in_flight": []}


def test_a_request_in_flight_is_listed_with_its_age_and_is_no_failure() -> None:
    request = make_request()
    (in_flight,) = audit()["in_flight"]
    assert in_flight["ticket_id"] == str(request.ticket_id)
    assert 0 <= in_flight["age"] < 10
    output = StringIO()
    call_command("audit", stdout=output)
    assert f"in flight: {request.ticket_id}" in output.getvalue()
    assert "0 wrong, 1 in flight" in output.getvalue()


def test_every_entry_of_a_long_journal_is_listed(settings: Settings, tmp_path: Path) -> None:
    settings.JOURNAL_PATH = tmp_path / "journal.sqlite3"
    journal = get_journal()
    first = Entry(event_id=1, event_slug="festa", phone="+351912000000")
    journal.accept(first)
    with closing(sqlite3.connect(settings.JOURNAL_PATH)) as file, file:
        file.executemany(
            "INSERT INTO entry (ticket_id, event_id, phone, body) SELECT ?, 1, ?, body FROM entry"
            " LIMIT 1",
            [(str(uuid4()), f"+3519121{number:05}") for number in range(1_000)],
        )
    assert len(audit()["in_flight"]) == 1_001


def test_a_dead_request_is_a_failure() -> None:
    request = make_request()
    GuestRequest.objects.update(state="dead", ended_at=Now(), attempts=3, error="ValueError")
    assert audit()["failures"] == [f"request {request.ticket_id}: failed 3 times (ValueError)"]


def test_a_wrong_count_is_a_failure(guest: Guest) -> None:
    Event.objects.update(places_taken=2)
    assert audit()["failures"] == [f"event {guest.event.slug}: 1 on the list, 2 counted"]


def test_a_request_with_the_guest_of_another_account_is_a_failure(guest: Guest) -> None:
    GuestRequest.objects.update(account=make_account())
    (failure,) = audit()["failures"]
    assert failure.endswith("ended as created without its guest")


def test_a_code_without_its_image_is_a_failure(guest: Guest) -> None:
    assert guest.qr_token is not None
    default_storage.delete(image_name(guest.qr_token))
    assert audit()["failures"] == [f"guest {guest.pk}: the image of the QR code cannot be read"]


def test_the_exit_code_of_the_text_form_is_one_as_well(guest: Guest) -> None:
    Event.objects.update(places_taken=2)
    output = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("audit", stdout=output)
    assert "wrong: event" in output.getvalue()
