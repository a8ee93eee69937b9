"""The pace of emails to a provider that limits them."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from notifications.models import Email
from notifications.pace import MAX_PAUSE, Pace
from notifications.providers import providers
from notifications.sending import send_due_emails
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_servers import Sink


def test_it_spaces_emails_and_lets_urgent_ones_pass() -> None:
    pace = Pace(lambda: 10.0)
    waits = [pace.reserve(is_urgent=False) for _ in range(3)]
    assert waits == pytest.approx([0.0, 0.1, 0.2], abs=0.05)
    assert pace.reserve(is_urgent=True) == 0.0
    assert pace.reserve(is_urgent=False) == pytest.approx(0.4, abs=0.05)


def test_without_a_rate_no_email_waits() -> None:
    pace = Pace(lambda: 0.0)
    assert [pace.reserve(is_urgent=False) for _ in range(100)] == [0.0] * 100


def test_it_pauses_as_long_as_the_provider_says() -> None:
    pace = Pace(lambda: 0.0)
    assert pace.limited(7.0) == pytest.approx(7.0, abs=0.5)
    assert pace.pause_left() == pytest.approx(7.0, abs=0.5)
    assert not pace.allows()
    # Others that were under way at the same time do not make it longer.
    assert pace.limited(None) == pytest.approx(7.0, abs=0.5)
    assert Pace(lambda: 0.0).limited(86_400.0) == pytest.approx(MAX_PAUSE, abs=0.5)


def test_pauses_without_a_time_grow_until_an_email_is_accepted() -> None:
    pace = Pace(lambda: 0.0)
    pauses = []
    for _ in range(4):
        pauses.append(pace.limited(None))
        pace._paused_until = 0.0
    assert pauses == pytest.approx([1.0, 2.0, 4.0, 8.0], abs=0.2)
    pace.accepted()
    assert pace.limited(None) == pytest.approx(1.0, abs=0.2)


@pytest.mark.django_db(transaction=True)
def test_emails_leave_at_the_rate_of_the_setting(sink: Sink, settings: Settings) -> None:
    settings.EMAIL_PER_SECOND = 20.0
    for number in range(6):
        queue_note(f"note:{number}")
    reserved = providers()[0].pace
    assert send_due_emails() == 6
    # Six moments with a twentieth of a second between them were used.
    assert reserved.reserve(is_urgent=False) > 0.0
    assert len(sink.messages) == 6


@pytest.mark.django_db(transaction=True)
def test_at_a_low_rate_no_thread_waits_past_a_lease(sink: Sink, settings: Settings) -> None:
    settings.EMAIL_PER_SECOND = 0.02
    pace = providers()[0].pace
    pace.reserve(is_urgent=False)
    assert pace.backlog() == pytest.approx(50.0, abs=1.0)
    queue_note("note:1")
    queue_note("note:code", fast=True)
    assert send_due_emails(fast=False) == 0
    waiting = Email.objects.get(fast=False)
    assert (waiting.state, waiting.attempts, waiting.leased_until) == ("queued", 0, None)
    assert waiting.next_attempt_at > timezone.now() + timedelta(seconds=40)
    assert send_due_emails(fast=True) == 1
