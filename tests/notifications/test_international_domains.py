"""International domains, in the envelope and the headers that a real mail server receives."""

import pytest
from pytest_django import Settings

from accounts.models import User
from notifications.models import Email
from notifications.sending import send_due_emails
from notifications.services import queue_email
from tests.factories import make_account, make_event
from tests.helpers.mail_servers import Sink
from tests.helpers.visitors import Visitor, html_of, location_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_guest_with_an_international_domain_is_reached(sink: Sink) -> None:
    """Django's own encoder would send this to fass.example."""
    visitor = Visitor(make_event())
    visitor.give_phone()
    assert "/ticket/" in location_of(visitor.register(email="Ines@faß.example"))
    account = User.objects.get()
    assert account.email == "Ines@xn--fa-hia.example"
    send_due_emails()
    assert set(sink.recipients) == {"Ines@xn--fa-hia.example"}
    assert {message["To"] for message in sink.messages} == {"Ines@xn--fa-hia.example"}


def test_addresses_and_senders_from_before_are_encoded_too(sink: Sink, settings: Settings) -> None:
    settings.EMAIL_SENDERS = {"note": "SNAP <ola@straße.example>"}
    settings.PUBLIC_URL = "https://straße.example"
    queue_email("note", "note:1", to="x@faß.example", language="en")
    queue_email("note", "note:2", to="x@пример.рф", language="en")
    send_due_emails()
    assert sorted(sink.recipients) == ["x@xn--e1afmkfd.xn--p1ai", "x@xn--fa-hia.example"]
    for message in sink.messages:
        assert message["From"] == "SNAP <ola@xn--strae-oqa.example>"
        assert message["Message-ID"].endswith("@xn--strae-oqa.example>")


def test_an_address_that_cannot_be_encoded_is_not_tried_again(sink: Sink) -> None:
    queue_email("note", "note:1", to="x@☕.example", language="en")
    send_due_emails()
    email = Email.objects.get()
    assert (email.state, sink.messages) == ("dead", [])


def test_a_welcome_goes_to_the_account_in_either_form(sink: Sink) -> None:
    """An account that is saved gets the ASCII form; its queued email has the one of before."""
    account = make_account(email="x@faß.example")
    queue_email("welcome", f"account:{account.pk}", to=account.email, language="en")
    User.objects.update(email="x@xn--fa-hia.example")
    send_due_emails()
    assert sink.recipients == ["x@xn--fa-hia.example"]


def test_a_refused_form_shows_the_address_as_it_was_typed() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    refused = visitor.register(first_name="", email="ines@faß.example")
    assert 'value="ines@faß.example"' in html_of(refused)
