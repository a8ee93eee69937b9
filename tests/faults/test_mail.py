"""The mail provider fails. Guests still get their places, and their emails later."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connection

from notifications.models import Email
from notifications.sending import EXPIRED_LEASE_GRACE
from notifications.services import queue_email
from snap.local.embedded import PostgreSQL
from tests.factories import make_accounts
from tests.faults.breaking import changed, pause
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.mail_servers import BreakingSink
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes

DONE = [Email.State.SENT, Email.State.CANCELLED]


class Provider(ThreadingHTTPServer):
    """Plays Mailgun. Its mood is well, slow, 500, 429 or reset."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mood = "well"
        self.requests = 0
        self.accepted = 0


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests += 1
        mood = self.server.mood
        if mood == "slow":
            time.sleep(8)
        if mood in {"500", "429"}:
            self.respond(int(mood), b'{"message": "not now"}')
            return
        self.server.accepted += 1
        if mood == "reset":
            self.connection.close()
            return
        self.respond(200, b'{"id": "<taken@mail.example>", "message": "Queued."}')

    def respond(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            return  # The client has closed the connection.

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def provider() -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_mail_provider_misbehaves(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The provider is slow (8 s), returns 500, then 429, cuts connections, and works again.

    The protections are that emails are sent outside of transactions and requests, and that
    failures of the provider use up no attempt. Counted as `FAILED`, emails would be dead rows.
    """
    seconds = form(2.5, 30)
    with provider() as mailgun:
        env = {
            "EMAIL_PROVIDER": "mailgun",
            "MAILGUN_API_URL": f"http://127.0.0.1:{mailgun.server_port}/v3",
            "MAILGUN_API_KEY": "key-for-tests",
            "MAILGUN_SENDER_DOMAIN": "mail.example",
            "BREAKER_PAUSE": "2",
        }
        with changed(faulty, "emails", "sweeper", **env):
            storm = make_storm(int(form(150, 2000)), rate=15)
            with storm:
                for mood in ("slow", "500", "429", "reset", "well"):
                    mailgun.mood = mood
                    pause(seconds)
                    wait_for(lambda: mailgun.requests, 30)
            healed_at = time.time()
            all_sent = "every email was sent"
            wait_for(lambda: not Email.objects.exclude(state__in=DONE).exists(), form(60, 180))
        emails = Email.objects.filter(state=Email.State.SENT).count()
        assert not Email.objects.filter(state=Email.State.DEAD).exists()
    conclude(
        storm,
        broken=f"A local HTTP server in place of the mail provider was slow (8 s), then returned"
        f" 500, then 429, then accepted emails and cut the connection, {seconds:g} s each. In the"
        f" end {all_sent}: {emails}, {time.time() - healed_at:.0f} s after the last visitor came."
        f" {mailgun.accepted - emails} second copies were accepted before a connection was cut,"
        " each with the Message-ID of the first.",
        healed_at=healed_at,
    )


@pytest.mark.slow
def test_database_blinks_after_an_email_left(
    faulty: Stack, postgresql: PostgreSQL, form: Form
) -> None:
    """PostgreSQL stops when the mail server has a message, for longer than the email's lease.

    In every other round the worker is killed as well. The protection is that the outcome is on
    disk before the database is asked. Without `KeptOutcomes` each round sends the email twice.
    """
    rounds, sink = int(form(2, 10)), BreakingSink()
    accounts = make_accounts(rounds)
    env = {
        "EMAIL_PROVIDER": "smtp",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(sink.port),
        "EMAIL_LEASE": "2",
        "SWEEP_TAKES_OVER_EMAILS": "2",
    }
    sink.start()
    try:
        with changed(faulty, "emails", "sweeper", **env):
            for number, account in enumerate(accounts):
                has_left = threading.Event()

                def stop(has_left: threading.Event = has_left) -> None:
                    sink.on_data = lambda: None
                    postgresql.stop("immediate")
                    has_left.set()

                sink.on_data = stop
                cause = f"account:{account.pk}"
                queue_email("welcome", cause, to=account.email, language="pt-pt")
                assert has_left.wait(60), "the email was not sent"
                pause(1)
                if number % 2:
                    faulty.kill("emails")
                pause(3)
                postgresql.start()
                connection.close()
                faulty.start("emails")
                sent = Email.objects.filter(cause=cause, state=Email.State.SENT)
                wait_for(sent.exists, 60)
            pause(EXPIRED_LEASE_GRACE.total_seconds() + 4)
    finally:
        sink.stop()
    assert Counter(sink.recipients) == {account.email: 1 for account in accounts}
