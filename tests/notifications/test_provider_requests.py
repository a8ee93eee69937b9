"""Each provider gets each kind of email as its documentation says, field by field."""

import re

import pytest
from ical.calendar_stream import IcsCalendarStream

from notifications.kinds import bulk_kinds, known_kinds
from notifications.models import Email
from notifications.sending import send_due_emails
from tests.helpers.emails_of_kinds import CAUSES, queue_email_of
from tests.helpers.mail_providers.choice import Choose
from tests.helpers.mail_providers.fields import ReceivedEmail
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.scans import scan

pytestmark = [
    pytest.mark.django_db,
    # The authors of anymail cannot test SendGrid any more. These tests show that it works here.
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]

HTTP = ["resend", "sendgrid", "mailgun"]


def receive(choose: Choose, name: str, kind: str, language: str) -> tuple[Email, ReceivedEmail]:
    """Send an email of a kind, and return its row and what the provider accepted."""
    (provider,) = choose(name)
    assert isinstance(provider, HTTPProvider)
    email = queue_email_of(kind, language)
    send_due_emails()
    email.refresh_from_db()
    assert provider.wrong == []
    return email, provider.only_email


def test_every_kind_has_rows_to_try_it_with() -> None:
    kinds = {kind for kind in known_kinds() if not kind.endswith("note")}
    assert kinds == set(CAUSES)


@pytest.mark.parametrize("kind", sorted(CAUSES))
def test_every_provider_gets_every_kind_field_by_field(choose: Choose, kind: str) -> None:
    check_request(choose, "resend", kind, "pt-pt")
    check_request(choose, "sendgrid", kind, "en")
    check_request(choose, "mailgun", kind, "pt-pt")


def check_request(choose: Choose, name: str, kind: str, language: str) -> None:
    email, received = receive(choose, name, kind, language)
    assert email.state == "sent"
    assert email.provider_id
    assert received.to == email.to
    assert received.sender == "SNAP <no-reply@snap.example>"
    assert "Inês & Zé" in received.text
    assert "Inês &amp; Zé" in received.html
    assert f'lang="{language}"'.lower() in received.html.lower()
    assert ("list-unsubscribe" in received.headers) is (kind in bulk_kinds())
    assert not re.search(r"\{[{%]|[%}]\}", received.subject + received.text + received.html)


@pytest.mark.parametrize("name", HTTP)
def test_every_provider_gets_the_qr_code_that_opens_the_door(choose: Choose, name: str) -> None:
    email, received = receive(choose, name, "qr_code", "en")
    (image,) = received.inline.values()
    assert image.content_type == "image/png"
    address = scan(image.content)
    assert address in received.text
    assert received.message_id.startswith(f"<email.{email.pk}.")


@pytest.mark.parametrize("name", HTTP)
def test_every_provider_gets_the_calendar_file(choose: Choose, name: str) -> None:
    _, received = receive(choose, name, "qr_code", "en")
    (file,) = received.attachments
    assert file.content_type.startswith("text/calendar")
    (entry,) = IcsCalendarStream.calendar_from_ics(file.content.decode()).events
    assert "Noite de São João" in str(entry.summary)


@pytest.mark.parametrize("name", HTTP)
def test_no_provider_is_asked_to_track_opens(choose: Choose, name: str) -> None:
    _, received = receive(choose, name, "welcome", "en")
    assert not received.tracks_opens


@pytest.mark.parametrize("name", HTTP)
def test_every_provider_gets_an_international_domain_in_ascii(choose: Choose, name: str) -> None:
    (provider,) = choose(name)
    assert isinstance(provider, HTTPProvider)
    queue_email_of("login_code")
    Email.objects.update(to="ana@faß.example")
    send_due_emails()
    assert (provider.wrong, provider.only_email.to) == ([], "ana@xn--fa-hia.example")
