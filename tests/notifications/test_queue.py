"""Queueing and sending emails: once per cause, also when something fails."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from pytest_django import Settings
from redis import Redis

from notifications.delivery import hand_over
from notifications.messages import RelatedMessage, build_messages
from notifications.models import Email
from notifications.providers import providers
from notifications.recording import EXPIRED_LEASE_GRACE
from notifications.sending import send_due_emails
from notifications.services import EmailToQueue, queue_email, queue_emails, requeue_emails
from notifications.tasks import send_emails
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_servers import Sink
from tests.helpers.stack import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def make_due() -> None:
    Email.objects.filter(state="queued").update(next_attempt_at=Now())


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return all log records as text, with their fields."""
    return " ".join(str(vars(record)) for record in caplog.records)


def in_threads(count: int, work: Callable[[], object]) -> None:
    """Run the same work at the same moment in several threads, each with its own connection."""
    start = threading.Barrier(count)

    def run(_number: int) -> None:
        start.wait()
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))


def test_it_sends_what_is_queued(sink: Sink) -> None:
    email = queue_note("note:1")
    assert send_due_emails() == 1
    email.refresh_from_db()
    assert (email.state, email.attempts, email.leased_until) == ("sent", 0, None)
    assert email.sent_at is not None
    assert sink.recipients == ["ana@example.pt"]
    assert send_due_emails() == 0


def test_it_sends_each_kind_once_per_cause(sink: Sink) -> None:
    for _ in range(3):
        queue_note("note:1")
        send_due_emails()
    assert len(sink.messages) == 1


def test_threads_that_queue_and_send_at_once_send_each_cause_once(sink: Sink) -> None:
    causes = [f"note:{number}" for number in range(30)]

    def work() -> None:
        queue_emails([EmailToQueue("note", cause, "ana@example.pt", "en") for cause in causes])
        while send_due_emails(limit=3):
            pass

    in_threads(6, work)  # The pool has as many connections.
    in_threads(6, work)
    assert Counter(message["Subject"] for message in sink.messages) == Counter(causes)
    assert Email.objects.filter(state="sent").count() == len(causes)


def test_without_the_claim_two_workers_send_the_same_email(sink: Sink) -> None:
    """The claim prevents this race."""
    queue_note("note:1")
    both_have_looked = threading.Barrier(2)

    def send_without_claiming() -> None:
        due = list(Email.objects.due())
        both_have_looked.wait()
        messages = build_messages(due)
        for email in due:
            message = messages[email.pk]
            assert isinstance(message, RelatedMessage)
            hand_over(email, message, providers()[0])

    in_threads(2, send_without_claiming)
    assert len(sink.messages) == 2


def test_the_database_refuses_a_second_row_for_a_cause() -> None:
    queue_note("note:1")
    with pytest.raises(IntegrityError), transaction.atomic():
        Email.objects.create(kind="note", cause="note:1", to="rui@example.pt", language="pt-pt")


def test_an_unknown_kind_is_an_error_when_queueing() -> None:
    with pytest.raises(LookupError):
        queue_email("postcard", "note:1", to="ana@example.pt", language="en")


def test_an_email_of_a_kind_that_this_release_does_not_know_stays_queued(sink: Sink) -> None:
    Email.objects.create(kind="newer", cause="x:1", to="ana@example.pt", language="en")
    assert send_due_emails() == 0
    assert Email.objects.get().attempts == 0


def test_no_email_is_sent_when_the_transaction_rolls_back(sink: Sink) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        queue_note("note:1")
        raise RuntimeError
    assert send_due_emails() == 0


def test_queueing_wakes_the_worker_after_the_commit(settings: Settings) -> None:
    # An earlier test may have left a wake-up that this process has not sent yet.
    time.sleep(settings.EMAILS_WAKE_UP_INTERVAL + 1)
    with Redis.from_url(settings.BROKER_URL) as broker:
        broker.delete("emails")
        with transaction.atomic():
            queue_note("note:1")
            time.sleep(0.2)
            assert broker.llen("emails") == 0
        for _ in range(100):
            if broker.llen("emails"):
                break
            time.sleep(0.02)
        assert broker.llen("emails") == 1


def test_fast_emails_are_sent_first(sink: Sink) -> None:
    for number in range(3):
        queue_note(f"note:{number}")
    queue_note("code:1", fast=True)
    send_due_emails(limit=1)
    assert [message["Subject"] for message in sink.messages] == ["code:1"]


def test_an_email_that_is_no_longer_wanted_is_cancelled(sink: Sink) -> None:
    email = queue_note("gone:1")
    send_due_emails()
    email.refresh_from_db()
    assert (email.state, sink.messages) == ("cancelled", [])


def test_a_leased_email_is_sent_again_when_its_worker_has_died(sink: Sink) -> None:
    """Its worker may know the outcome, and has some seconds to write it."""
    email = queue_note("note:1")
    Email.objects.update(leased_until=Now() + timedelta(seconds=30))
    assert send_due_emails() == 0
    Email.objects.update(leased_until=Now() - timedelta(seconds=1))
    assert send_due_emails() == 0
    email.refresh_from_db()
    assert email.leased_until is None
    assert email.next_attempt_at > email.queued_at + EXPIRED_LEASE_GRACE
    make_due()
    assert send_due_emails() == 1
    email.refresh_from_db()
    assert email.state == "sent"


def test_two_attempts_of_one_email_have_the_same_message_id(sink: Sink) -> None:
    queue_note("note:1")
    queue_note("note:2")
    send_due_emails()
    Email.objects.filter(cause="note:1").update(state="queued")
    send_due_emails()
    ids = defaultdict(set)
    for message in sink.messages:
        ids[message["Subject"]].add(message["Message-ID"])
    assert [len(sink.messages), len(ids["note:1"])] == [3, 1]
    assert ids["note:1"] != ids["note:2"]


def test_an_email_sent_again_by_staff_is_a_new_message(sink: Sink) -> None:
    email = queue_note("note:1")
    Email.objects.update(queued_at=email.queued_at - timedelta(minutes=1))
    send_due_emails()
    Email.objects.update(state="bounced")
    requeue_emails(Email.objects.all())
    send_due_emails()
    assert len({message["Message-ID"] for message in sink.messages}) == 2


def test_a_bad_row_does_not_delay_the_others(sink: Sink) -> None:
    bad = [
        queue_note("broken:1"),
        queue_note("note:header", to="ana@example.pt\nBcc: rui@example.pt"),
    ]
    good = [queue_note(f"note:{number}") for number in range(3)]
    send_emails()
    assert Email.objects.filter(pk__in=[e.pk for e in good], state="sent").count() == 3
    assert Email.objects.filter(pk__in=[e.pk for e in bad], state="sent").count() == 0
    assert sink.recipients == ["ana@example.pt"] * 3


def test_a_failing_email_backs_off_and_ends_as_dead(sink: Sink, settings: Settings) -> None:
    email = queue_note("broken:1")
    for attempt in range(1, settings.EMAIL_ATTEMPTS + 1):
        send_due_emails()
        email.refresh_from_db()
        wait = (email.next_attempt_at - email.queued_at).total_seconds()
        assert email.attempts == attempt
        assert wait >= settings.EMAIL_BACKOFF * 2 ** (attempt - 1)
        make_due()
    assert email.state == "dead"
    assert email.error.startswith("KeyError (conftest.py:")
    assert send_due_emails() == 0


def test_a_mail_server_that_is_away_uses_up_no_attempts(sink: Sink) -> None:
    email = queue_note("note:1")
    others = [queue_note(f"note:other {number}") for number in range(4)]
    sink.stop()
    for _ in range(5):
        assert send_due_emails() == 0
        make_due()
    email.refresh_from_db()
    assert (email.state, email.attempts, email.leased_until) == ("queued", 0, None)
    sink.start()
    providers()[0].breaker.succeeded()  # Its probe does this within a second.
    assert send_due_emails() == 1 + len(others)
    assert Email.objects.filter(state="sent").count() == 1 + len(others)


def test_the_pauses_of_emails_grow_while_the_mail_server_is_away(sink: Sink) -> None:
    email = queue_note("note:1")
    sink.stop()
    send_due_emails()
    email.refresh_from_db()
    assert 4 < (email.next_attempt_at - email.queued_at).total_seconds() < 8
    assert email.error.startswith("ConnectionRefusedError")
    Email.objects.update(queued_at=Now() - timedelta(hours=5), next_attempt_at=Now())
    send_due_emails()
    email.refresh_from_db()
    wait = email.next_attempt_at - email.queued_at - timedelta(hours=5)
    assert 55 < wait.total_seconds() < 65


def test_a_refused_recipient_is_dead_at_once(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sink.replies["rui@example.pt"] = "550 5.1.1 <rui@example.pt>: no such user"
    email, good = queue_note("note:1", to="rui@example.pt"), queue_note("note:2")
    send_due_emails()
    email.refresh_from_db()
    good.refresh_from_db()
    assert (email.state, good.state) == ("dead", "sent")
    assert email.error.startswith("SMTPRecipientsRefused 550")
    assert "example.pt" not in email.error + logged(caplog)


def test_a_temporary_refusal_of_a_recipient_uses_up_an_attempt(sink: Sink) -> None:
    sink.replies["rui@example.pt"] = "450 later"
    email = queue_note("note:1", to="rui@example.pt")
    send_due_emails()
    email.refresh_from_db()
    assert (email.state, email.attempts) == ("queued", 1)


@pytest.mark.parametrize(
    "to", ["ana@example.pt, rui@example.pt", "ana@example.pt\r\nBcc: rui@example.pt", "", "ana"]
)
def test_an_email_without_exactly_one_address_is_dead_at_once(sink: Sink, to: str) -> None:
    email = queue_note("note:1", to=to)
    send_due_emails()
    email.refresh_from_db()
    assert (email.state, sink.recipients) == ("dead", [])


def test_a_title_cannot_inject_a_header(sink: Sink) -> None:
    queue_note("note\r\nBcc: rui@example.pt\r\n\r\nNew body")
    send_due_emails()
    (message,) = sink.messages
    assert message["Subject"] == "note Bcc: rui@example.pt New body"
    assert message["Bcc"] is None
    assert sink.recipients == ["ana@example.pt"]


def test_no_address_and_no_code_is_stored_or_logged(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    queue_note("broken:1")
    queue_note("note:1")
    send_due_emails()
    stored = " ".join(Email.objects.values_list("error", flat=True))
    for secret in ("example.pt", "123456"):
        assert secret not in stored + logged(caplog)
    assert "email_failed" in logged(caplog)


def test_dead_emails_are_sent_again_to_a_corrected_address(sink: Sink) -> None:
    dead, sent = queue_note("broken:1"), queue_note("note:2")
    Email.objects.filter(pk=dead.pk).update(state="dead", attempts=3, cause="note:1")
    Email.objects.filter(pk=sent.pk).update(state="sent")
    assert requeue_emails(Email.objects.all(), to="rui@example.pt") == 1
    assert send_due_emails() == 1
    assert sink.recipients == ["rui@example.pt"]


def test_emails_that_wait_for_the_mail_server_are_due_once_it_is_back(
    sink: Sink, settings: Settings
) -> None:
    """The probe notices that it is back. No email is sent as a trial or waits for its pause."""
    for number in range(8):
        queue_email("note", f"{number}", to="ana@example.com", language="en")
    Email.objects.update(queued_at=Now() - timedelta(hours=5))  # The next pause is 60 s.
    sink.stop()
    assert send_due_emails() == 0
    wait_for(lambda: providers()[0].breaker.state == "open", 3)
    Email.objects.update(next_attempt_at=Now())
    assert send_due_emails() == 0
    assert not Email.objects.due().exists()
    sink.start()
    wait_for(lambda: send_due_emails() == 8, 4)
    assert len(sink.messages) == 8
    assert set(Email.objects.values_list("attempts", flat=True)) == {0}
