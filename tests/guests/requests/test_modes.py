"""What the modes change for requests: batches, estimates, and turns in line. Each both ways."""

from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db.models.functions import Now
from pytest_django import Settings

from guests.models import GuestRequest
from guests.requests.creating import batch_size, create_due_guests, create_guests_for_event
from guests.requests.line import reserve_turn
from guests.requests.tickets import estimated_seconds, seconds_left
from guests.tasks import create_guests
from snap.control.modes import EMERGENCY, QUEUE
from tests.factories import make_accounts, make_event, make_request
from tests.helpers.load import mode_on

pytestmark = pytest.mark.django_db


def ask(event: object, number: int) -> None:
    for account in make_accounts(number):
        make_request(event, account)  # type: ignore[arg-type]


def test_queue_mode_makes_batches_larger(settings: Settings) -> None:
    settings.GUEST_BATCH_SIZE = 2
    settings.MODE_BATCH_FACTOR = 3
    event = make_event()
    ask(event, 10)
    assert create_guests_for_event(event.pk) == 2
    with mode_on(EMERGENCY):
        assert create_guests_for_event(event.pk) == 2
    with mode_on(QUEUE):
        assert create_guests_for_event(event.pk) == 6
    assert create_due_guests() == 0


def test_both_modes_at_once_end_every_request(settings: Settings) -> None:
    settings.GUEST_BATCH_SIZE = 2
    settings.GUEST_BATCH_PAUSE = 0.0
    event = make_event(capacity=7)
    ask(event, 10)
    with mode_on(EMERGENCY, QUEUE):
        create_guests()
    assert not GuestRequest.objects.pending().exists()


def test_queue_mode_is_over_when_it_is_off(settings: Settings) -> None:
    with mode_on(QUEUE):
        assert batch_size() == settings.GUEST_BATCH_SIZE * settings.MODE_BATCH_FACTOR
    assert batch_size() == settings.GUEST_BATCH_SIZE


@pytest.mark.parametrize("mode", [EMERGENCY, QUEUE])
def test_while_a_mode_is_on_estimates_are_longer(mode: str) -> None:
    few, many = make_event(), make_event()
    ask(few, 1)
    accounts = make_accounts(100)
    rows = [GuestRequest(event=many, account=each, phone=each.phone or "") for each in accounts]
    GuestRequest.objects.bulk_create(rows)
    usual = estimated_seconds(few.pk), estimated_seconds(many.pk)
    with mode_on(mode):
        crowded = estimated_seconds(few.pk), estimated_seconds(many.pk)
        stored = GuestRequest.objects.with_ticket_details().filter(event=many).first()
        assert stored is not None
        assert seconds_left(stored) == crowded[1]
    assert usual == (1, 2)
    assert crowded == (5, 7)
    assert (estimated_seconds(few.pk), estimated_seconds(many.pk)) == usual


def test_in_line_the_turn_is_told_if_it_is_later() -> None:
    request = make_request()
    GuestRequest.objects.update(next_attempt_at=Now() + timedelta(seconds=90))
    request = GuestRequest.objects.with_ticket_details().get(pk=request.pk)
    with mode_on(QUEUE):
        assert 85 < seconds_left(request) <= 92


@pytest.mark.parametrize("mode", [EMERGENCY, QUEUE])
def test_while_a_mode_is_on_fewer_are_accepted_at_once(mode: str) -> None:
    event = make_event(limit_per_minute=10)
    other = make_event(limit_per_minute=10)
    turns = [reserve_turn(event) for _ in range(11)]
    assert turns[:10] == [0] * 10
    assert turns[10] > 0
    with mode_on(mode):
        turns = [reserve_turn(other) for _ in range(6)]
    assert turns[:5] == [0] * 5
    assert turns[5] > 0


def test_the_limit_of_the_system_is_paced_too(settings: Settings) -> None:
    settings.LIMIT_SYSTEM = 10
    with mode_on(EMERGENCY):
        turns = [reserve_turn(make_event()) for _ in range(6)]
    assert turns[:5] == [0] * 5
    assert turns[5] > 0


@pytest.mark.parametrize("limit", [1, 2])
def test_a_small_limit_still_lets_somebody_in(limit: int, settings: Settings) -> None:
    settings.MODE_ADMISSION_PERCENT = 1
    with mode_on(QUEUE):
        assert reserve_turn(make_event(limit_per_minute=limit)) == 0


def test_those_in_line_keep_their_turn_when_a_mode_begins_or_ends() -> None:
    """Turns are rows: a change of mode only concerns who asks from then on."""
    assert django_settings.MODE_ADMISSION_PERCENT == 50
    event = make_event(limit_per_minute=60)
    first = [reserve_turn(event) for _ in range(61)][-1]
    with mode_on(QUEUE):
        second = reserve_turn(event)
    third = reserve_turn(event)
    assert 0 < first < second < third
