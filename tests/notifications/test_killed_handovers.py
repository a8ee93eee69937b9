"""Workers that end at a bad moment, several at once, and what the disk of their host says."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from notifications.delivery import Outcome, Result
from notifications.models import Email
from notifications.outcomes import FILE_NAME, KeptOutcomes
from notifications.sending import send_due_emails, write_kept_outcomes
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_providers.choice import Choose
from tests.helpers.mail_providers.http_server import HTTPProvider

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_disk(settings: Settings, tmp_path: Path) -> None:
    settings.JOURNAL_PATH = tmp_path / "journal.sqlite3"
    settings.EMAIL_LEASE = 0  # Notes of handovers are as old as that at once.


def note_handover(email: Email, provider: str) -> None:
    """Leave the note of a worker that was killed while it handed an email over."""
    with KeptOutcomes() as kept:
        kept.begin([(email, provider)])


def test_the_processes_of_a_host_count_a_killed_handover_once(choose: Choose) -> None:
    """Each process reads the note before one of them has removed it."""
    choose("mailgun")
    email = queue_note("note:1")
    Email.objects.update(leased_until=Now() - timedelta(seconds=60))
    for _ in range(5):
        note_handover(email, "mailgun")
        write_kept_outcomes()
    email.refresh_from_db()
    assert (email.state, email.attempts, email.unsure_provider) == ("queued", 0, "mailgun")


def test_a_second_killed_handover_counts_as_an_attempt(choose: Choose) -> None:
    choose("mailgun")
    email = queue_note("note:1")
    note_handover(email, "mailgun")
    write_kept_outcomes()
    Email.objects.update(next_attempt_at=Now())
    note_handover(email, "mailgun")
    write_kept_outcomes()
    email.refresh_from_db()
    assert (email.state, email.attempts, email.unsure_provider) == ("queued", 1, "mailgun")


def test_a_killed_handover_never_goes_to_the_other_provider(choose: Choose) -> None:
    """Not even if the first provider is away when the next worker finds the note."""
    mailgun, resend = choose("mailgun", "resend")
    assert isinstance(resend, HTTPProvider)
    mailgun.stop()
    email = queue_note("note:1")
    note_handover(email, "mailgun")
    for _ in range(3):
        Email.objects.update(next_attempt_at=Now(), leased_until=None)
        send_due_emails()
    email.refresh_from_db()
    assert (email.state, email.unsure_provider) == ("queued", "mailgun")
    assert resend.request_count == 0


def set_clock_back(settings: Settings) -> None:
    """Make all that this host's disk says an hour later than the clock, as if that was set back."""
    path = settings.JOURNAL_PATH.with_name(FILE_NAME)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE handover SET began_at = began_at + 3600")
        file.execute("UPDATE outcome SET kept_at = kept_at + 3600")


def test_a_clock_that_is_set_back_hides_no_killed_handover(
    choose: Choose, settings: Settings
) -> None:
    (mailgun,) = choose("mailgun")
    assert isinstance(mailgun, HTTPProvider)
    email = queue_note("note:1")
    note_handover(email, "mailgun")
    set_clock_back(settings)
    send_due_emails()
    email.refresh_from_db()
    assert (email.state, email.unsure_provider) == ("queued", "mailgun")
    assert mailgun.request_count == 0


def test_a_clock_that_is_set_back_hides_no_email_that_was_sent(
    choose: Choose, settings: Settings
) -> None:
    """The worker was killed after the response, before the row said so."""
    (mailgun,) = choose("mailgun")
    assert isinstance(mailgun, HTTPProvider)
    email = queue_note("note:1")
    sent = Outcome(Result.SENT, provider="mailgun", provider_id="<taken@mail.example>")
    with KeptOutcomes() as kept:
        kept.add([(email, sent)])
    set_clock_back(settings)
    send_due_emails()
    email.refresh_from_db()
    assert (email.state, email.provider_id) == ("sent", "<taken@mail.example>")
    assert mailgun.request_count == 0
