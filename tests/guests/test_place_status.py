"""What the holder of a place is told: one decision, by the state of the event and of the guest."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import User
from guests.models import Event, Guest
from guests.place_status import OPENING_CODES, PLACE_TEXTS, PlaceCode, place_status, status_of

NOW = datetime(2030, 7, 5, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def event(**fields: Any) -> Event:
    """Return an event in two hours, with a waiting list. It is not stored."""
    given = {"starts_at": NOW + 2 * HOUR, "ends_at": NOW + 8 * HOUR, "venue": "Sala", "capacity": 5}
    return Event(**given | fields)


def guest(**fields: Any) -> Guest:
    """Return a guest who has been on the list for an hour."""
    return Guest(**{"state": "on_list", "qr_token": "t", "created_at": NOW - HOUR} | fields)


def move(at: datetime, **before: str) -> dict[str, str]:
    """Return an element of `Event.moves`: what held before a time, by default what holds now."""
    held = {"starts_at": (NOW + 2 * HOUR).isoformat(), "time_zone": "Europe/Lisbon"}
    return {"at": at.isoformat(), **held, "venue": "Sala", "address": "", **before}


BEGUN = {"starts_at": NOW - HOUR}
OVER = {"starts_at": NOW - 3 * HOUR, "ends_at": NOW}
CANCELLED = {"cancelled_at": NOW}
MOVED = {"moves": [move(NOW, venue="Outra Sala")]}
WAITING = {"state": "waiting", "qr_token": None}
ENDED = {"state": "cancelled", "qr_token": None}


@pytest.mark.parametrize(
    ("of_event", "of_guest", "code"),
    [
        ({}, {}, "valid"),
        ({}, {"is_promoted": True}, "promoted"),
        (MOVED, {}, "moved"),
        (MOVED, {"is_promoted": True}, "moved"),
        (BEGUN, {}, "begun"),
        (BEGUN | MOVED, {}, "begun"),
        (OVER, {}, "over"),
        (OVER | MOVED, {}, "over"),
        ({}, WAITING, "waiting"),
        (BEGUN, WAITING, "waiting"),
        (OVER, WAITING, "waiting_ended"),
        ({"waiting_list_ends_at": NOW}, WAITING, "waiting_ended"),
        ({"waiting_list_ends_at": NOW + HOUR}, WAITING, "waiting"),
        ({"waiting_list_ends_at": NOW + 99 * HOUR} | OVER, WAITING, "waiting_ended"),
        ({"waiting_list_ends_at": NOW}, {}, "valid"),
        ({}, ENDED, "removed"),
        ({}, ENDED | {"ending": "removed"}, "removed"),
        (BEGUN, ENDED | {"ending": "given_back"}, "given_back"),
        (MOVED, ENDED | {"ending": "moved"}, "moved_to_event"),
        (OVER, ENDED, "removed"),
        (CANCELLED, {}, "event_cancelled"),
        (CANCELLED, WAITING, "event_cancelled"),
        (CANCELLED, ENDED, "event_cancelled"),
        (CANCELLED | OVER, {}, "event_cancelled"),
        (CANCELLED | BEGUN | MOVED, {}, "event_cancelled"),
    ],
)
def test_each_state_has_one_code(
    of_event: dict[str, Any], of_guest: dict[str, Any], code: str
) -> None:
    status = place_status(event(**of_event), guest(**of_guest), is_withheld=False, now=NOW)
    assert status.code == code
    assert status.shows_code == (code in {"valid", "promoted", "moved", "begun"})


@pytest.mark.parametrize(
    ("of_event", "code"),
    [
        ({}, "unproven"),
        (MOVED, "unproven"),
        (BEGUN, "unproven"),
        (OVER, "over"),
        (CANCELLED, "event_cancelled"),
    ],
)
def test_a_code_that_waits_for_a_proof_is_never_shown(of_event: dict[str, Any], code: str) -> None:
    status = place_status(event(**of_event), guest(), is_withheld=True, now=NOW)
    assert (status.code, status.shows_code) == (code, False)


@pytest.mark.parametrize("of_guest", [{}, WAITING])
def test_every_holder_hears_where_the_event_was_before(of_guest: dict[str, Any]) -> None:
    status = place_status(event(**MOVED), guest(**of_guest), is_withheld=False, now=NOW)
    assert status.moved_from is not None
    assert status.moved_from.venue == "Outra Sala"


def test_who_came_after_the_move_hears_nothing_of_it() -> None:
    moved = event(moves=[move(NOW - 2 * HOUR, venue="Outra Sala")])
    assert place_status(moved, guest(), is_withheld=False, now=NOW).code is PlaceCode.VALID
    promoted = guest(created_at=NOW - 9 * HOUR, state_since=NOW - HOUR, is_promoted=True)
    assert place_status(moved, promoted, is_withheld=False, now=NOW).code is PlaceCode.PROMOTED


def test_of_several_moves_each_guest_hears_what_held_when_they_came() -> None:
    moves = [
        move(NOW - 3 * HOUR, venue="A"),
        move(NOW - 2 * HOUR, venue="B"),
        move(NOW - HOUR, venue="C"),
    ]
    known = []
    for hours in (4, 2.5, 1.5, 0.5):
        came = guest(created_at=NOW - hours * HOUR)
        status = place_status(event(moves=moves), came, is_withheld=False, now=NOW)
        known.append(status.moved_from and status.moved_from.venue)
    assert known == ["A", "B", "C", None]


def test_a_move_that_was_taken_back_is_none() -> None:
    back_again = event(moves=[move(NOW - HOUR / 2), move(NOW, venue="Engano")])
    assert place_status(back_again, guest(), is_withheld=False, now=NOW).code is PlaceCode.VALID


def test_the_same_moment_in_another_zone_is_a_move() -> None:
    """The clock at the event shows another time than the one that the guest knows."""
    moved = event(moves=[move(NOW)], time_zone="Atlantic/Azores")
    status = place_status(moved, guest(), is_withheld=False, now=NOW)
    assert status.code is PlaceCode.MOVED


def test_the_link_to_an_earlier_code_says_that_there_is_a_newer_one() -> None:
    holder = guest(event=event(), account=User())
    holder.database_now = holder.event.database_now = NOW
    assert status_of(holder, token="t").code is PlaceCode.VALID
    assert status_of(holder, token="older").code is PlaceCode.REPLACED
    holder.event.cancelled_at = NOW
    assert status_of(holder, token="older").code is PlaceCode.EVENT_CANCELLED


def test_every_code_has_a_text() -> None:
    assert set(PLACE_TEXTS) == set(PlaceCode)
    assert set(PlaceCode) > OPENING_CODES
