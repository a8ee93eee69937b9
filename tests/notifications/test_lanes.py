"""Codes have a lane of their own: they wait for no other email, and expire when it is too late."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings
from redis import Redis

from accounts.models import LoginCode
from notifications import sending, tasks
from notifications.models import Email
from notifications.sending import send_due_emails
from notifications.services import requeue_emails
from notifications.tasks import send_codes, send_emails
from tests.factories import make_accounts
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_servers import Sink, send_to
from tests.helpers.stack import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


class SlowSink(Sink):
    """A mail server that keeps bulk emails waiting until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        content = getattr(envelope, "content", b"")
        while b"bulk" in content and not self.goes_on.is_set():
            await asyncio.sleep(0.01)
        return await super().handle_DATA(server, session, envelope)  # type: ignore[arg-type]


@pytest.fixture
def slow_sink(settings: Settings) -> Iterator[SlowSink]:
    server = SlowSink()
    send_to(settings, server)
    server.start()
    yield server
    server.goes_on.set()
    server.stop()


def in_thread(work: object) -> threading.Thread:
    def run() -> None:
        try:
            work()  # type: ignore[operator]
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def subjects(sink: Sink) -> list[str]:
    return [message["Subject"] for message in sink.messages]


def test_a_code_is_sent_while_all_connections_wait_for_bulk_emails(
    slow_sink: SlowSink, settings: Settings
) -> None:
    for number in range(settings.EMAIL_CONNECTIONS + 20):
        queue_note(f"bulk:{number}")
    bulk = [in_thread(send_emails), in_thread(send_emails)]
    leased = Email.objects.filter(leased_until__isnull=False)
    wait_for(lambda: leased.count() > settings.EMAIL_CONNECTIONS)
    queue_note("code:1", fast=True)
    send_codes()
    assert subjects(slow_sink) == ["code:1"]
    slow_sink.goes_on.set()
    for thread in bulk:
        thread.join()
    wait_for(lambda: not leased.exists())


def test_the_task_of_the_previous_release_sends_codes_while_others_send_bulk(
    slow_sink: SlowSink,
) -> None:
    """That release wakes one task for all emails."""
    queue_note("bulk:1")
    bulk = in_thread(send_emails)
    wait_for(Email.objects.filter(leased_until__isnull=False).exists)
    queue_note("code:1", fast=True)
    send_emails_without_bulk = in_thread(send_emails)
    wait_for(lambda: "code:1" in subjects(slow_sink))
    slow_sink.goes_on.set()
    bulk.join()
    send_emails_without_bulk.join()


def test_few_tasks_send_bulk_emails_and_none_is_forgotten(slow_sink: SlowSink) -> None:
    """A task that finds enough others ends at once, and one of those looks again."""
    queue_note("bulk:first")
    busy = [in_thread(send_emails) for _ in range(tasks.BULK_TASKS)]
    wait_for(Email.objects.filter(leased_until__isnull=False).exists)
    busy += [in_thread(send_emails)]
    queue_note("note:late")
    began = time.monotonic()
    send_emails()
    assert time.monotonic() - began < 30
    slow_sink.goes_on.set()
    for thread in busy:
        thread.join()
    assert sorted(subjects(slow_sink)) == ["bulk:first", "note:late"]


@pytest.mark.parametrize("fast", [True, False])
def test_each_lane_claims_its_own_emails_only(sink: Sink, fast: bool) -> None:
    queue_note("note:code", fast=True)
    queue_note("note:bulk")
    assert send_due_emails(fast=fast) == 1
    assert subjects(sink) == ["note:code" if fast else "note:bulk"]


def test_queueing_a_code_wakes_its_own_task(settings: Settings) -> None:
    with Redis.from_url(settings.BROKER_URL) as broker:
        broker.delete("codes")
        queue_note("note:1", fast=True)
        wait_for(lambda: broker.llen("codes") == 1, 5)
        assert b"notifications.tasks.send_codes" in broker.lindex("codes", 0)


def test_the_sweeper_sends_codes_that_no_worker_takes_up(sink: Sink, settings: Settings) -> None:
    queue_note("note:code", fast=True)
    queue_note("note:bulk")
    overdue = timedelta(seconds=settings.SWEEP_TAKES_OVER + 1)
    Email.objects.update(next_attempt_at=Now() - overdue)
    call_command("sweeper", once=True)
    assert subjects(sink) == ["note:code"]


def make_code(**age: float) -> LoginCode:
    (account,) = make_accounts(1)
    code = LoginCode.objects.create(
        account=account, browser="b" * 32, expires_at=Now() + timedelta(**age)
    )
    Email.objects.create(
        kind="login_code",
        cause=f"login_code:{code.pk}",
        to=account.email,
        language="en",
        fast=True,
    )
    return code


def test_a_code_that_has_expired_is_cancelled(sink: Sink) -> None:
    make_code(minutes=-1)
    assert send_due_emails(fast=True) == 1
    assert (Email.objects.get().state, sink.messages) == ("cancelled", [])


def test_a_code_that_expires_after_it_was_built_is_not_sent_late(
    sink: Sink, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is built again before it is handed over, as if it had waited for a connection."""
    code = make_code(minutes=10)
    monkeypatch.setattr(sending, "MAX_AGE_OF_CODE", -1.0)
    assert send_due_emails(fast=True) == 0
    email = Email.objects.get()
    assert (email.state, email.attempts, email.leased_until) == ("queued", 0, None)
    LoginCode.objects.filter(pk=code.pk).update(expires_at=Now())
    monkeypatch.undo()
    assert send_due_emails(fast=True) == 1
    assert (Email.objects.get().state, sink.messages) == ("cancelled", [])


def test_a_code_that_waits_for_the_provider_expires(sink: Sink) -> None:
    code = make_code(minutes=10)
    sink.stop()
    assert send_due_emails(fast=True) == 0
    LoginCode.objects.filter(pk=code.pk).update(expires_at=Now())
    sink.start()
    Email.objects.update(next_attempt_at=Now())
    wait_for(lambda: send_due_emails(fast=True) or Email.objects.get().state == "cancelled", 5)
    assert sink.messages == []


def test_sending_again_forgets_a_lost_response(sink: Sink) -> None:
    """Staff say so by it."""
    email = queue_note("note:1")
    Email.objects.update(
        state="dead", unsure_provider="smtp", provider="smtp", provider_id="x", sent_at=Now()
    )
    assert requeue_emails(Email.objects.all()) == 1
    email.refresh_from_db()
    assert (email.unsure_provider, email.provider, email.provider_id) == ("", "", "")
    assert email.state == "queued"
