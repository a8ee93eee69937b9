"""A round of counting reads what has changed, however long the lists are."""

import json
from typing import Any

import pytest
from django.db import connection

from guests.models import Event
from guests.overview import events
from guests.overview.counting import ADD_CHANGES
from tests.factories import make_event, make_guest

pytestmark = pytest.mark.django_db

# Guests with their requests and history, of accounts that do not exist: triggers and keys are off.
FILL = """
SET LOCAL session_replication_role = replica;
INSERT INTO guests_guest (id, event_id, account_id, phone, name, state, queue_number, listings,
    qr_token)
SELECT -number, {event}, -number, 'fill' || number, 'Rita', 'on_list', number, 1,
    'fill' || number
FROM generate_series(1, {size}) AS number;
INSERT INTO guests_guestrequest (id, ticket_id, event_id, account_id, phone, name, state, guest_id,
    ended_at, refusal, attempts, error)
SELECT -number, gen_random_uuid(), {event}, -number, '', 'Rita', 'created', -number, now(), '', 0,
    ''
FROM generate_series(1, {size}) AS number;
INSERT INTO guests_statechange (guest_id, from_state, to_state, actor)
SELECT -number, '', 'on_list', 'tests' FROM generate_series(1, {size}) AS number;
SET LOCAL session_replication_role = origin;
ANALYZE guests_guest, guests_guestrequest, guests_statechange;
"""


def fill(event: Event, size: int) -> None:
    with connection.cursor() as cursor:
        for statement in FILL.format(event=event.pk, size=size).split(";\n"):
            if statement.strip():
                cursor.execute(statement)


def plan(seen: int) -> dict[str, Any]:
    """Return how PostgreSQL has executed the query for changes since a line of the history."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {ADD_CHANGES}",
            {"seen": seen, "gaps": [seen - 1]},
        )
        found = cursor.fetchone()[0]
    if isinstance(found, str):
        found = json.loads(found)
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def blocks(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"]) + int(node["Shared Read Blocks"])


def kinds(node: dict[str, Any]) -> set[str]:
    found = {str(node["Node Type"])}
    for each in node.get("Plans", []):
        found |= kinds(each)
    return found


def test_changes_are_found_by_indexes() -> None:
    event = make_event(capacity=20_000)
    fill(event, 10_000)
    events.read_night()
    seen = events._Process.known.tally.seen
    assert events._Process.known.tally.events[event.pk].totals["on_list"] == 10_000
    nothing = plan(seen)
    make_guest(event)
    one_guest = plan(seen)
    assert "Seq Scan" not in kinds(nothing) | kinds(one_guest)
    # Each table of the list has more than a hundred blocks.
    assert blocks(nothing) < 30
    assert blocks(one_guest) < 60
