"""The steps of the guest's way are counted once each, by pages and API alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client
from prometheus_client import REGISTRY

from accounts.models import User
from guests.emergency.journal import get_journal
from guests.models import Event, GuestRequest
from guests.requests.creating import create_due_guests
from snap.observability.steps import STEPS
from tests.factories import make_account, make_event, make_guest, make_request
from tests.helpers.own_servers import own_postgresql
from tests.helpers.sessions import sign_in
from tests.helpers.visitors import PHONE, Visitor, location_of, registered

pytestmark = pytest.mark.django_db(transaction=True)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@contextmanager
def steps() -> Iterator[dict[str, float]]:
    """Fill a dict with the steps that were counted in the block."""
    before = {step: value("guest_steps_total", step=step) for step in STEPS}
    counted: dict[str, float] = {}
    yield counted
    for step in STEPS:
        if added := value("guest_steps_total", step=step) - before[step]:
            counted[step] = added


def test_a_new_guest_goes_all_steps() -> None:
    event = make_event()
    visitor = Visitor(event)
    with steps() as counted:
        visitor.look()
        visitor.give_phone()
        ticket = location_of(visitor.register())
        create_due_guests()
        visitor.get(ticket)
    assert counted == {
        "event": 1,
        "phone": 1,
        "registered": 1,
        "accepted": 1,
        "created": 1,
        "qr_shown": 1,
    }


def test_a_known_guest_signs_in_with_a_code() -> None:
    account = make_account(phone=PHONE)
    visitor = Visitor(make_event())
    with steps() as counted:
        visitor.give_phone()
        visitor.type_code(account)
    assert counted["code_sent"] == counted["signed_in"] == counted["accepted"] == 1
    assert "registered" not in counted


def test_a_wrong_code_signs_nobody_in() -> None:
    make_account(phone=PHONE)
    visitor = Visitor(make_event())
    visitor.give_phone()
    with steps() as counted:
        visitor.send("code", code="000000")
    assert counted == {}


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"capacity": 0, "has_waiting_list": True}, "waitlisted"),
        ({"cancelled_at": Now()}, "refused"),
    ],
)
def test_a_request_ends_without_a_place(fields: dict[str, object], step: str) -> None:
    request = make_request(make_event())
    Event.objects.filter(pk=request.event_id).update(**fields)
    with steps() as counted:
        create_due_guests()
    assert counted == {step: 1}


def test_a_request_that_is_rolled_back_is_no_step() -> None:
    event = make_event()
    with steps() as counted, transaction.atomic():
        make_request(event)
        transaction.set_rollback(True)
    assert counted == {}


@pytest.mark.slow
def test_a_request_of_the_journal_is_accepted_once() -> None:
    visitor = Visitor(make_event())
    visitor.look()
    visitor.give_phone()
    own_postgresql().stop("immediate")
    with steps() as counted:
        visitor.register()
        assert get_journal().count()["waiting"] == 1
    assert counted["accepted"] == 1


def test_the_api_shows_the_code(client: Client) -> None:
    guest = make_guest(make_event())
    account: User = guest.account
    sign_in(client, account)
    with steps() as counted:
        ticket_id = GuestRequest.objects.get().ticket_id
        assert client.get(f"/api/client-auth/guests/requests/{ticket_id}").status_code == 200
    assert counted == {"qr_shown": 1}


@pytest.mark.parametrize(
    ("accepted", "turn", "fields", "in_time"),
    [
        (5, 5, {}, "yes"),
        (70, 70, {}, "no"),
        # It waited in line for its turn.
        (300, 5, {}, "yes"),
        (300, 70, {}, "no"),
        (300, 5, {"attempts": 1}, "no"),
        (300, 5, {"level": 3}, "no"),
    ],
)
def test_a_request_ends_in_time(
    accepted: float, turn: float, fields: dict[str, object], in_time: str
) -> None:
    request = make_request(make_event())
    GuestRequest.objects.filter(pk=request.pk).update(
        accepted_at=Now() - timedelta(seconds=accepted),
        next_attempt_at=Now() - timedelta(seconds=turn),
        **fields,
    )
    labels = {"outcome": "created", "in_time": in_time}
    before = value("guest_requests_ended_total", **labels), value("guest_batch_size_count")
    create_due_guests()
    assert value("guest_requests_ended_total", **labels) == before[0] + 1
    assert value("guest_batch_size_count") == before[1] + 1


def test_caches_count_hits_and_misses() -> None:
    visitor, _ticket = registered(make_event())
    names = [("event", "hit"), ("event", "miss"), ("phone_check", "hit"), ("phone_check", "miss")]

    def counts() -> list[float]:
        return [
            value("cache_requests_total", cache=cache, result=result) for cache, result in names
        ]

    other = Visitor(visitor.event)
    before = counts()
    for _ in range(2):
        other.give_phone()
    added = [after - earlier for earlier, after in zip(before, counts(), strict=True)]
    assert added[0] + added[1] >= 2
    assert added[2:] == [1, 1]
