"""The sweeper ends what workers miss, also while the broker or the database is away."""

import inspect
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db.models.functions import Now
from redis import Redis

from guests import sweeps
from guests.models import Event, Guest, GuestRequest
from notifications.models import Email
from notifications.services import queue_email
from tests.factories import make_account, make_event, make_guest, make_request
from tests.helpers.invariants import broken_invariants
from tests.helpers.outages import database_unavailable
from tests.helpers.programs import running_command
from tests.helpers.stack import wait_for

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


def overdue_request(seconds: float) -> GuestRequest:
    request = make_request()
    GuestRequest.objects.update(next_attempt_at=Now() - timedelta(seconds=seconds))
    return request


def guests_made() -> int:
    return Guest.objects.count()


def test_every_sweep_is_run() -> None:
    """A sweep is a function of `guests.sweeps` that takes `is_stopping`."""
    written = set()
    for name, function in inspect.getmembers(sweeps, inspect.isfunction):
        if [*inspect.signature(function).parameters] == ["is_stopping"]:
            written.add(name)
    assert len(written) > 1
    assert written == {sweep.name for sweep in sweeps.SWEEPS}


def test_requests_that_have_just_become_due_are_left_to_the_workers() -> None:
    overdue_request(0.1)
    call_command("sweeper", once=True)
    assert guests_made() == 0


@committed
def test_an_overdue_request_wakes_the_workers() -> None:
    overdue_request(2)
    with Redis.from_url(settings.BROKER_URL, socket_timeout=10) as broker:
        broker.blpop(["guests"], timeout=5)
        call_command("sweeper", once=True)
        assert broker.blpop(["guests"], timeout=5) is not None
    assert guests_made() == 0


def test_a_request_that_no_worker_ends_is_ended_by_the_sweeper() -> None:
    overdue_request(settings.SWEEP_TAKES_OVER + 1)
    call_command("sweeper", once=True)
    assert guests_made() == 1
    assert broken_invariants() == []


def test_a_request_in_its_backoff_is_left_alone() -> None:
    request = overdue_request(60)
    GuestRequest.objects.update(next_attempt_at=Now() + timedelta(seconds=1))
    call_command("sweeper", once=True)
    request.refresh_from_db()
    assert request.state == "pending"


def test_a_request_in_line_is_ended_when_its_turn_comes() -> None:
    event = make_event(limit_per_minute=1)
    make_request(event)
    request = make_request(event)
    GuestRequest.objects.filter(pk__lt=request.pk).update(
        next_attempt_at=Now() - timedelta(hours=1)
    )
    call_command("sweeper", once=True)
    request.refresh_from_db()
    assert (guests_made(), request.state) == (1, "pending")
    turn = Now() - timedelta(seconds=settings.SWEEP_TAKES_OVER + 1)
    GuestRequest.objects.filter(pk=request.pk).update(next_attempt_at=turn)
    call_command("sweeper", once=True)
    assert guests_made() == 2


def test_places_that_are_free_without_a_service_go_to_the_waiting_list() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    Event.objects.update(capacity=2)
    call_command("sweeper", once=True)
    waiting.refresh_from_db()
    assert waiting.state == "on_list"
    assert broken_invariants() == []


def test_emails_that_no_worker_sends_are_sent_by_the_sweeper(
    mailoutbox: list[EmailMessage],
) -> None:
    account = make_account()
    queue_email("welcome", f"account:{account.pk}", to=account.email, language="pt-pt")
    call_command("sweeper", once=True)
    assert mailoutbox == []
    Email.objects.update(next_attempt_at=Now() - timedelta(minutes=1))
    call_command("sweeper", once=True)
    assert [message.to for message in mailoutbox] == [[account.email]]
    assert Email.objects.get().state == "sent"


# The process -------------------------------------------------------------------------------------


@pytest.mark.slow
@committed
def test_it_survives_outages_of_database_and_broker_and_stops_on_sigterm(tmp_path: Path) -> None:
    log = tmp_path / "log"
    overdue_request(1)
    # Nothing listens on port 1, so the broker is away from the beginning.
    with running_command(
        "sweeper", log=log, SWEEP_INTERVAL="0.2", BROKER_URL="redis://127.0.0.1:1/3"
    ) as sweeper:
        wait_for(guests_made, timeout=20)
        with database_unavailable():
            wait_for(lambda: "sweep_failed" in log.read_text())
            assert sweeper.poll() is None
        overdue_request(1)
        wait_for(lambda: guests_made() == 2, timeout=20)
        sweeper.send_signal(signal.SIGTERM)
        assert sweeper.wait(timeout=10) == 0
    assert log.read_text().count("sweep=sweep_requests") <= 2
    assert "Traceback" not in log.read_text()
    assert broken_invariants() == []


@committed
def test_ctrl_c_stops_it_at_once(tmp_path: Path) -> None:
    overdue_request(60)
    with running_command("sweeper", log=tmp_path / "log", SWEEP_INTERVAL="0.1") as sweeper:
        wait_for(guests_made, timeout=20)
        sweeper.send_signal(signal.SIGINT)
        assert sweeper.wait(timeout=5) == 0
