"""Snapshots of events on the host's disk, which two releases may share during a deployment."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from guests.emergency.journal import get_journal
from guests.emergency.snapshots import load_event, save_event
from guests.models import Event
from tests.factories import make_event
from tests.helpers import servers

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_snapshots() -> Iterator[None]:
    servers.empty_journal()
    yield
    servers.empty_journal()


def test_a_snapshot_has_what_a_holder_is_told_in_an_outage() -> None:
    event = make_event(slug="festa", venue="Sala")
    Event.objects.filter(pk=event.pk).update(venue="Praia", title="Outro")
    save_event(Event.objects.get(pk=event.pk))
    saved = load_event("festa").event
    assert (saved.venue, saved.sequence, saved.phase()) == ("Praia", 1, "upcoming")
    assert [move["venue"] for move in saved.moves] == ["Sala"]


def test_a_snapshot_of_the_next_release_can_be_read() -> None:
    event = make_event(slug="festa")
    save_event(event)
    rows = json.loads(str(get_journal().load_snapshot("festa")))
    rows[0]["fields"]["dress_code"] = "white"
    get_journal().save_snapshot("festa", json.dumps(rows))
    assert load_event("festa").event == event


def test_a_snapshot_of_the_previous_release_stays_its_own() -> None:
    """It cannot read fields that it does not know."""
    save_event(make_event(slug="festa"))
    with closing(sqlite3.connect(get_journal().path)) as file, file:
        tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}
    assert "snapshot" in tables
    assert "event" not in tables
