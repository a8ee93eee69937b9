"""Signed reports of the providers, as they post them, settle what became of an email."""

from base64 import b64encode
from collections.abc import Callable

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from notifications.models import Email
from notifications.sending import send_due_emails
from notifications.webhooks import webhook_paths
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_providers import faults
from tests.helpers.mail_providers.choice import Choose
from tests.helpers.mail_providers.fields import ReceivedEmail
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.mail_providers.reports import REPORTS, SECRET, keys

pytestmark = [
    pytest.mark.django_db,
    # The authors of anymail cannot test SendGrid any more. These tests show that it works here.
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]

# The order in which it happens, the reverse, and one in between.
ORDERS = [
    ["sent", "delivered", "opened", "complained"],
    ["complained", "opened", "delivered", "sent"],
    ["opened", "sent", "complained", "delivered"],
]
HTTP = ["resend", "sendgrid", "mailgun"]

Post = Callable[[ReceivedEmail, str], int]


@pytest.fixture
def post(settings: Settings, rf: RequestFactory) -> Post:
    """Return a function that posts a provider's report of an event, and returns the status."""
    given = keys()
    settings.EMAIL_OPEN_TRACKING = True
    settings.MAIL_WEBHOOK_SECRET = given.pop("MAIL_WEBHOOK_SECRET")
    authorization = f"Basic {b64encode(SECRET.encode()).decode()}"

    def post_report(email: ReceivedEmail, event: str) -> int:
        settings.ANYMAIL = {**settings.ANYMAIL, **given}
        report = REPORTS[email.provider](email, event)
        request = rf.post(
            "/",
            report.body,
            content_type="application/json",
            headers={"Authorization": authorization, **report.headers},
        )
        (view,) = [each.callback for each in webhook_paths() if email.provider in str(each)]
        return int(view(request).status_code)

    return post_report


def accept(choose: Choose, name: str) -> tuple[Email, ReceivedEmail]:
    (provider,) = choose(name)
    assert isinstance(provider, HTTPProvider)
    email = queue_note("note:1")
    send_due_emails()
    return email, provider.only_email


# What each report makes of an email that was sent.
STATES = {
    "sent": "sent",
    "delayed": "sent",
    "delivered": "delivered",
    "bounced": "bounced",
    "complained": "complained",
    "opened": "opened",
}


@pytest.mark.parametrize("name", HTTP)
def test_every_report_moves_the_row(choose: Choose, post: Post, name: str) -> None:
    email, received = accept(choose, name)
    states = {}
    for event in STATES:
        Email.objects.update(state="sent")
        assert post(received, event) == 200
        email.refresh_from_db()
        states[event] = email.state
    assert states == STATES


@pytest.mark.parametrize("name", HTTP)
def test_reports_in_any_order_and_twice_end_in_the_same_state(
    choose: Choose, post: Post, name: str
) -> None:
    email, received = accept(choose, name)
    for events in ORDERS:
        Email.objects.update(state="sent", delivered_at=None, opened_at=None, complained_at=None)
        for event in [*events, *events]:
            assert post(received, event) == 200
        email.refresh_from_db()
        assert email.state == "complained"


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize("event", ["sent", "delivered", "bounced"])
def test_a_report_settles_an_email_whose_response_was_lost(
    choose: Choose, post: Post, name: str, event: str
) -> None:
    (provider,) = choose(name)
    assert isinstance(provider, HTTPProvider)
    provider.next_faults.append(faults.CUTS_AFTER)
    email = queue_note("note:1")
    send_due_emails()
    assert post(provider.only_email, event) == 200
    email.refresh_from_db()
    assert email.state == event
    assert (email.provider, email.unsure_provider) == (name, "")
    Email.objects.update(next_attempt_at="2000-01-01T00:00:00Z")
    send_due_emails()
    assert provider.copies.total() == 1
