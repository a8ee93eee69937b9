"""What the row of an email says after each reply of a mail server, in each step of the dialogue."""

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from notifications.models import Email
from notifications.providers import providers
from notifications.sending import send_due_emails
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_providers.choice import Choose, forget_failures, set_timeout
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.mail_providers.smtp_server import CUT, HANG, STEPS, MailServer

pytestmark = pytest.mark.django_db

# State, used attempts, and whether the server may have accepted the email.
WAITS = ("queued", 0, False)
FAILED = ("queued", 1, False)
UNSURE = ("queued", 0, True)
DEAD = ("dead", 0, False)

FATES = [
    # Nothing was handed over before the text.
    *[(step, broken, WAITS) for step in STEPS[:-1] for broken in (CUT, HANG)],
    ("text", CUT, UNSURE),
    # The server accepts no email for now.
    *[(step, "421 4.3.2 shutting down", WAITS) for step in STEPS],
    ("text", "452 4.3.1 out of storage", WAITS),
    ("mail", "451 4.3.0 try again", WAITS),
    # Another attempt may succeed.
    ("rcpt", "450 4.2.1 mailbox busy", FAILED),
    ("rcpt", "451 4.7.1 greylisted", FAILED),
    ("rcpt", "452 4.2.2 mailbox full", FAILED),
    ("text", "451 4.7.0 too many messages", FAILED),
    ("text", "450 4.7.28 unusual rate", FAILED),
    # The mailbox or the message is never accepted.
    ("rcpt", "550 5.1.1 no such user", DEAD),
    ("rcpt", "550 5.2.1 mailbox disabled", DEAD),
    ("rcpt", "552 5.2.2 mailbox full", DEAD),
    ("text", "552 5.3.4 too large", DEAD),
    ("text", "554 5.6.0 not in the format", DEAD),
    ("text", "550 5.7.1 looks like spam", DEAD),
    # Our sender, domain or network is refused: ours to mend.
    ("connect", "554 5.7.1 this address is listed", WAITS),
    ("mail", "550 5.7.60 may not send as this sender", WAITS),
    ("mail", "530 5.7.0 authentication required", WAITS),
    ("rcpt", "550 5.7.26 not authenticated", WAITS),
    ("text", "550 5.7.26 not authenticated", WAITS),
    ("text", "550 5.7.515 does not meet the required level", WAITS),
    ("text", "550 5.7.25 no PTR record", WAITS),
]


@pytest.mark.slow
def test_the_row_says_what_became_of_an_email(choose: Choose, settings: Settings) -> None:
    (server,) = choose("smtp")
    assert isinstance(server, MailServer)
    wrong = []
    for step, reply, expected in FATES:
        forget_failures()
        set_timeout(settings, hangs=reply == HANG)
        server.replies = {step: reply}
        email = queue_note(f"note:{step} {reply}")
        send_due_emails()
        email.refresh_from_db()
        is_right = (email.state, email.attempts, bool(email.unsure_provider)) == expected
        is_right &= email.leased_until is None
        is_right &= email.error != "" and "example.pt" not in email.error
        if not is_right:
            wrong.append((step, reply, email.state, email.attempts, email.error))
    assert wrong == []
    assert not server.copies


def send_again() -> None:
    Email.objects.filter(state="queued").update(next_attempt_at=Now(), leased_until=None)
    send_due_emails()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_reply_that_never_comes_leaves_an_email_unsure(choose: Choose) -> None:
    """A mail server may check a text for long before it replies, so this takes 20 s."""
    (server,) = choose("smtp")
    assert isinstance(server, MailServer)
    server.replies["text"] = HANG
    email = queue_note("note:1")
    send_due_emails()
    email.refresh_from_db()
    assert (email.state, email.attempts, email.unsure_provider) == ("queued", 0, "smtp")


def test_an_email_that_a_server_accepted_without_a_reply_is_not_sent_at_once(
    choose: Choose,
) -> None:
    server, other = choose("smtp", "resend")
    assert isinstance(server, MailServer)
    assert isinstance(other, HTTPProvider)
    server.replies["text"], server.accepts = CUT, True
    email = queue_note("note:1")
    for _ in range(3):
        send_due_emails()
    email.refresh_from_db()
    assert (email.state, email.unsure_provider) == ("queued", "smtp")
    assert server.copies.total() == 1
    assert other.request_count == 0


def test_a_mail_server_that_refuses_our_domain_hands_over_to_the_other_provider(
    choose: Choose,
) -> None:
    server, other = choose("smtp", "resend")
    assert isinstance(server, MailServer)
    assert isinstance(other, HTTPProvider)
    server.replies["text"] = "550 5.7.26 not authenticated"
    emails = [queue_note(f"note:{number}") for number in range(3)]
    for _ in range(4):
        send_due_emails()
        send_again()
    states = [Email.objects.get(pk=email.pk).state for email in emails]
    assert (states, other.copies.total(), server.copies.total()) == (["sent"] * 3, 3, 0)


@pytest.mark.parametrize(
    ("user", "with_tls"),
    [("snap", False), ("", True)],
)
def test_a_server_without_the_login_or_encryption_we_want_kills_no_email(
    choose: Choose, settings: Settings, user: str, with_tls: bool
) -> None:
    """Its settings, or ours, are to be mended. Ten thousand emails would be dead at once."""
    choose("smtp")
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = user, "secret"
    settings.EMAIL_USE_TLS = with_tls
    email = queue_note("note:1")
    send_due_emails()
    email.refresh_from_db()
    assert (email.state, email.attempts, email.unsure_provider) == ("queued", 0, "")
    assert providers()[0].mending.is_needed
