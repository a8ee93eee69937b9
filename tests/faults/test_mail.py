"""The mail provider fails. Guests still get their places, and their emails later."""

import threading
import time
from collections import Counter

import pytest
from django.db import connection

from notifications.models import Email
from notifications.recording import EXPIRED_LEASE_GRACE
from notifications.services import queue_email
from snap.local.embedded import PostgreSQL
from tests.factories import make_accounts
from tests.faults.breaking import changed, pause
from tests.faults.mail_crowd import played
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.mail_providers.faults import CUTS_AFTER, Fault, refuses
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.mail_servers import BreakingSink
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes

DONE = [Email.State.SENT, Email.State.DELIVERED, Email.State.CANCELLED]


# What the provider does in the moods of the scenario, one after the other.
SLOW = Fault("slow", accepts=True, wait=8.0)
MOODS = (SLOW, refuses(500), refuses(429), CUTS_AFTER, None)


@pytest.mark.slow
def test_mail_provider_misbehaves(
    faulty: Stack, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The provider is slow (8 s), returns 500, then 429, cuts connections, and works again.

    The protections are that emails are sent outside of transactions and requests, that failures of
    the provider use up no attempt, and that an email whose response was lost waits for its report.
    """
    seconds = form(2.5, 30)
    with played(faulty, "mailgun", BREAKER_PAUSE="2") as servers:
        (mailgun,) = servers
        assert isinstance(mailgun, HTTPProvider)
        storm = make_storm(int(form(150, 2000)), rate=15)
        with storm:
            for mood in MOODS:
                mailgun.fault = mood
                pause(seconds)
                wait_for(lambda: mailgun.request_count, 30)
        healed_at = time.time()
        unsure = Email.objects.exclude(unsure_provider="").count()
        wait_for(lambda: not Email.objects.exclude(state__in=DONE).exists(), 180)
        emails = Email.objects.exclude(state=Email.State.CANCELLED).count()
        assert not Email.objects.filter(state=Email.State.DEAD).exists()
        assert max(mailgun.copies.values()) == 1
        assert mailgun.copies.total() == emails
    conclude(
        storm,
        broken=f"A local HTTP server in place of the mail provider was slow (8 s), then returned"
        f" 500, then 429, then accepted emails and cut the connection, {seconds:g} s each. In the"
        f" end every email was sent once: {emails}, {time.time() - healed_at:.0f} s after the last"
        f" visitor came. {unsure} of them waited then for the report that says whether they had"
        " been accepted.",
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
