"""An email that left is not sent again, although the database was away at that moment."""

import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models.functions import Now
from pytest_django import Settings

from notifications import outcomes
from notifications.delivery import Outcome, Result
from notifications.models import Email
from notifications.outcomes import KeptOutcomes
from notifications.sending import send_due_emails, write_kept_outcomes
from notifications.services import queue_email, requeue_emails
from snap.local.embedded import PostgreSQL
from tests.factories import make_accounts
from tests.faults.breaking import frozen
from tests.helpers import servers
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_servers import BreakingSink, Sink, send_to
from tests.helpers.own_servers import own_postgresql
from tests.helpers.programs import running_command

pytestmark = pytest.mark.django_db(transaction=True)

SEND = "from notifications.sending import send_due_emails; send_due_emails()"
ROUNDS = 3  # Ten in the long form of tests/faults/test_mail.py.


@pytest.fixture
def breaking_sink(settings: Settings) -> Iterator[BreakingSink]:
    """A running mail server that breaks something after a message, and short time limits."""
    server = BreakingSink()
    send_to(settings, server)
    # A wait for the database lasts half a lease at most.
    settings.EMAIL_LEASE = 1
    settings.DATABASE_SILENCE_TIMEOUT = 1.0
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    """PostgreSQL, for a test to break. It runs again afterwards."""
    yield own_postgresql()
    connection.close()
    servers.freshen()


def end_leases() -> None:
    """Make every queued email due without a lease, as it is a long time after an outage."""
    Email.objects.filter(state="queued").update(leased_until=None, next_attempt_at=Now())


def times_sent(sink: Sink) -> Counter[str]:
    return Counter(message["Subject"] for message in sink.messages)


def in_own_connection(work: Callable[[], int]) -> int:
    try:
        return work()
    finally:
        connection.close()


# Short outages of the database -----------------------------------------------------------------


@pytest.mark.slow
def test_no_email_is_sent_twice_when_the_database_stops_after_it_left(
    breaking_sink: BreakingSink, postgresql: PostgreSQL
) -> None:
    for number in range(ROUNDS):
        breaking_sink.on_data = lambda: postgresql.stop("immediate")
        queue_note(f"note:{number}")
        with pytest.raises(OperationalError):
            send_due_emails()
        breaking_sink.on_data = lambda: None
        postgresql.start()
        connection.close()
        end_leases()
        send_due_emails()
    assert times_sent(breaking_sink) == {f"note:{number}": 1 for number in range(ROUNDS)}
    assert Email.objects.filter(state="sent").count() == ROUNDS


@pytest.mark.slow
def test_no_email_is_sent_twice_when_the_database_hangs_past_its_lease(
    breaking_sink: BreakingSink, postgresql: PostgreSQL
) -> None:
    for number in range(ROUNDS):
        is_over = threading.Event()

        def freeze(is_over: threading.Event = is_over) -> None:
            def hold() -> None:
                with frozen(postgresql):
                    is_over.wait()

            threading.Thread(target=hold).start()
            time.sleep(0.1)

        breaking_sink.on_data = freeze
        queue_note(f"note:{number}")
        try:
            with pytest.raises(OperationalError):
                send_due_emails()
        finally:
            is_over.set()
        breaking_sink.on_data = lambda: None
        connection.close()
        end_leases()
        send_due_emails()
    assert times_sent(breaking_sink) == {f"note:{number}": 1 for number in range(ROUNDS)}
    assert Email.objects.filter(state="sent").count() == ROUNDS


@pytest.mark.slow
def test_a_batch_goes_on_after_a_short_outage(
    breaking_sink: BreakingSink, postgresql: PostgreSQL, settings: Settings
) -> None:
    """The next emails of the batch do not wait until their leases end."""
    settings.EMAIL_LEASE = 60
    is_down = threading.Event()

    def stop() -> None:
        breaking_sink.on_data = lambda: None
        postgresql.stop("immediate")
        is_down.set()

    breaking_sink.on_data = stop
    for number in range(3):
        queue_note(f"note:{number}")
    with ThreadPoolExecutor(1) as worker:
        sent = worker.submit(in_own_connection, send_due_emails)
        assert is_down.wait(10)
        time.sleep(0.5)
        postgresql.start()
        assert sent.result(timeout=20) == 3
    connection.close()
    assert set(Email.objects.values_list("state", flat=True)) == {"sent"}
    assert set(times_sent(breaking_sink).values()) == {1}


@pytest.mark.slow
def test_no_email_is_sent_twice_when_the_worker_is_killed_after_it_left(
    breaking_sink: BreakingSink, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """The response is on disk before the database is asked, so SIGKILL does not lose it."""
    smtp = {
        "EMAIL_PROVIDER": "smtp",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(breaking_sink.port),
    }
    accounts = make_accounts(3)
    for account in accounts:
        queue_email("welcome", f"account:{account.pk}", to=account.email, language="en")
        arrived = threading.Event()

        def stop(arrived: threading.Event = arrived) -> None:
            postgresql.stop("immediate")
            arrived.set()

        breaking_sink.on_data = stop
        with running_command("shell", "-c", SEND, log=tmp_path / "log", **smtp) as process:
            assert arrived.wait(20), (tmp_path / "log").read_text()
            time.sleep(0.3)
            process.kill()
        postgresql.start()
        breaking_sink.on_data = lambda: None
        connection.close()
        end_leases()
        send_due_emails()
    assert Counter(breaking_sink.recipients) == {account.email: 1 for account in accounts}
    assert Email.objects.filter(state="sent").count() == len(accounts)


def test_the_sweeper_writes_the_outcomes_that_this_host_keeps(sink: Sink) -> None:
    email = queue_note("note:1")
    Email.objects.update(leased_until=Now())
    keep(email, Outcome(Result.SENT, provider_id="<taken@mail.example>"))
    call_command("sweeper", once=True)
    email.refresh_from_db()
    assert (email.state, email.provider_id) == ("sent", "<taken@mail.example>")
    assert (sink.messages, kept()) == ([], [])


def test_another_host_leaves_an_email_to_the_host_that_keeps_its_outcome(
    sink: Sink, settings: Settings, tmp_path: Path
) -> None:
    email, here = queue_note("note:1"), settings.JOURNAL_PATH
    keep(email, Outcome(Result.SENT))
    Email.objects.update(leased_until=Now())
    settings.JOURNAL_PATH = tmp_path / "emergency.sqlite3"
    assert send_due_emails() == 0
    assert send_due_emails() == 0
    settings.JOURNAL_PATH = here
    write_kept_outcomes()
    email.refresh_from_db()
    assert (email.state, sink.messages) == ("sent", [])


def test_a_kept_refusal_ends_the_email(sink: Sink) -> None:
    email = queue_note("note:1")
    keep(email, Outcome(Result.REFUSED, error="SMTPRecipientsRefused 550"))
    assert send_due_emails() == 0
    email.refresh_from_db()
    assert (email.state, email.error, sink.messages) == ("dead", "SMTPRecipientsRefused 550", [])


def test_a_kept_outcome_does_not_end_an_email_that_staff_send_again(sink: Sink) -> None:
    email = queue_note("note:1")
    keep(email, Outcome(Result.SENT))
    Email.objects.update(state="bounced")
    requeue_emails(Email.objects.all())
    assert send_due_emails() == 1
    assert (times_sent(sink), kept()) == ({"note:1": 1}, [])


# The file ------------------------------------------------------------------------------------


def keep(email: Email, outcome: Outcome) -> None:
    """Keep an outcome as a process does that died a minute ago."""
    with KeptOutcomes() as opened:
        opened.add([(email, outcome)])
        assert opened._file is not None
        opened._file.execute("UPDATE outcome SET kept_at = kept_at - 60")


def kept() -> list[outcomes.KeptOutcome]:
    with KeptOutcomes() as opened:
        return opened.find()


def test_sent_emails_leave_nothing_in_the_file(sink: Sink) -> None:
    queue_note("note:1")
    queue_note("note:2")
    assert send_due_emails() == 2
    assert kept() == []


def test_the_file_has_no_address_and_only_its_owner_may_read_it(
    sink: Sink, settings: Settings
) -> None:
    keep(queue_note("note:1", to="ana@example.pt"), Outcome(Result.SENT))
    for file in settings.JOURNAL_PATH.parent.glob("outcomes.sqlite3*"):
        assert b"example" not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_file_is_bounded_and_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MAX_KEPT", 3)
    emails = [queue_note(f"note:{number}") for number in range(5)]
    for email in emails:
        keep(email, Outcome(Result.SENT))
    assert [each.email_id for each in kept()] == [email.pk for email in emails[2:]]


@pytest.mark.slow
def test_without_a_disk_outcomes_are_kept_in_memory(
    breaking_sink: BreakingSink,
    postgresql: PostgreSQL,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings.JOURNAL_PATH = tmp_path / "file" / "emergency.sqlite3"
    breaking_sink.on_data = lambda: postgresql.stop("immediate")
    queue_note("note:1")
    with pytest.raises(OperationalError):
        send_due_emails()
    breaking_sink.on_data = lambda: None
    postgresql.start()
    connection.close()
    end_leases()
    send_due_emails()
    assert Email.objects.get().state == "sent"
    assert times_sent(breaking_sink) == {"note:1": 1}
    assert "outcomes_in_memory_only" in caplog.text
    assert kept() == []
