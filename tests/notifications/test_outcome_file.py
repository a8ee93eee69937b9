"""The file of kept outcomes while two releases use it, and the notes of handovers in it."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytest_django import Settings

from notifications.delivery import Outcome, Result
from notifications.models import Email
from notifications.outcomes import FILE_NAME, SCHEMA, KeptOutcomes
from notifications.sending import send_due_emails
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_servers import Sink

QUEUED_AT = datetime(2030, 1, 1, tzinfo=UTC)
# What the previous release runs.
INSERT = """
INSERT OR REPLACE INTO outcome (email_id, queued_at, result, provider_id, error, kept_at)
VALUES (?, ?, ?, ?, ?, ?)
"""
SELECT = "SELECT email_id, queued_at, result, provider_id, error, kept_at FROM outcome ORDER BY id"
KNOWN = {"SENT", "REFUSED"}


@pytest.fixture
def file(settings: Settings, tmp_path: Path) -> Path:
    settings.JOURNAL_PATH = tmp_path / "emergency.sqlite3"
    return tmp_path / FILE_NAME


def some_email(number: int) -> Email:
    return Email(pk=number, kind="note", cause=f"note:{number}", queued_at=QUEUED_AT)


def test_it_reads_a_file_of_the_previous_release(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as old:
        old.execute(SCHEMA)
        old.execute(INSERT, (7, QUEUED_AT.isoformat(), "SENT", "<id@x>", "", 0.0))
    with KeptOutcomes() as kept:
        (found,) = kept.find()
        kept.add([(some_email(8), Outcome(Result.SENT, provider="resend"))])
        assert [each.outcome.provider for each in kept.find()] == ["", "resend"]
    assert (found.email_id, found.outcome) == (7, Outcome(Result.SENT, provider_id="<id@x>"))


@pytest.mark.parametrize("result", Result)
def test_the_previous_release_reads_what_this_one_keeps(file: Path, result: Result) -> None:
    """It ends with an error at a result that it does not know."""
    email = some_email(7)
    with KeptOutcomes() as kept:
        kept.begin([(email, "resend")])
        kept.add([(email, Outcome(result, provider="resend"))])
        notes = kept.find_handovers()
    with closing(sqlite3.connect(file, isolation_level=None)) as old:
        rows = old.execute(SELECT).fetchall()
        old.execute(INSERT, (9, QUEUED_AT.isoformat(), "SENT", "", "", 0.0))
    assert {row[2] for row in rows} <= KNOWN
    assert len(rows) == (result.name in KNOWN)
    # A lost response leaves the note: the provider may have accepted the email.
    assert len(notes) == (result is Result.UNSURE)


@pytest.mark.django_db(transaction=True)
def test_a_sent_email_leaves_no_note(sink: Sink, file: Path) -> None:
    for number in range(5):
        queue_note(f"note:{number}")
    assert send_due_emails() == 5
    with KeptOutcomes() as kept:
        assert (kept.find(), kept.find_handovers()) == ([], [])


@pytest.mark.django_db(transaction=True)
def test_an_email_is_noted_before_the_server_has_it(sink: Sink, file: Path) -> None:
    """A process that is killed then leaves a note, so the email goes to no other provider."""
    noted = []
    take = sink.handle_DATA

    async def handle_data(*arguments: object) -> str:
        with closing(sqlite3.connect(file)) as opened:
            noted.extend(opened.execute("SELECT email_id FROM handover").fetchall())
        return await take(*arguments)  # type: ignore[arg-type]

    sink.handle_DATA = handle_data  # type: ignore[method-assign,assignment]
    email = queue_note("note:1")
    assert send_due_emails() == 1
    assert noted == [(email.pk,)]


@pytest.mark.django_db(transaction=True)
def test_many_emails_take_few_writes_of_rows(
    sink: Sink, django_assert_max_num_queries: object
) -> None:
    """A batch is claimed, built and recorded in as many statements as one email."""
    for number in range(40):
        queue_note(f"note:{number}")
    # Claim, and one record for each second or fifty emails.
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        assert send_due_emails() == 40
