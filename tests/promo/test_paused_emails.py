"""Pages promise no email of a kind that staff have turned off."""

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import Claim
from guests.models import Guest
from guests.requests.creating import create_due_guests
from tests.factories import make_account, make_event, make_guest
from tests.helpers.switches import turn_off, turn_on
from tests.helpers.visitors import PERSON, Visitor, html_of

pytestmark = pytest.mark.django_db

PROMISE = "It is also on its way to your email"
LATER = "Our emails rest for now."


def ticket_page(capacity: int = 5) -> tuple[Visitor, str]:
    event = make_event(capacity=capacity)
    if capacity == 1:
        make_guest(event)
    visitor = Visitor(event)
    visitor.give_phone()
    path = visitor.register()["Location"]
    create_due_guests()
    return visitor, path


def text_of(visitor: Visitor, path: str) -> str:
    return html_of(visitor.get(path))


def test_the_ticket_promises_an_email_only_while_qr_codes_are_sent() -> None:
    visitor, path = ticket_page()
    assert PROMISE in text_of(visitor, path)
    turn_off("emails_qr_code")
    page = text_of(visitor, path)
    assert PROMISE not in page
    assert LATER in page
    turn_on("emails_qr_code")
    assert PROMISE in text_of(visitor, path)


def test_a_ticket_that_came_with_the_request_promises_nothing_either() -> None:
    """Without a look at the row of the email: the partial of a websocket has none."""
    turn_off("emails_qr_code", "async_creation")
    visitor = Visitor(make_event(), htmx=True)
    visitor.give_phone()
    page = html_of(visitor.register())
    assert "qr/" in page
    assert PROMISE not in page
    assert LATER in page


def test_the_waiting_list_promises_the_code_by_email_only_while_it_is_sent() -> None:
    visitor, path = ticket_page(capacity=1)
    assert "comes here and to your email" in text_of(visitor, path)
    turn_off("emails_qr_code")
    assert "comes here and to your email" not in text_of(visitor, path)
    assert "the QR code comes here." in text_of(visitor, path)
    turn_off("emails_waitlisted")
    assert LATER in text_of(visitor, path)


def test_the_pass_says_that_its_email_waits(client: Client) -> None:
    visitor, _path = ticket_page()
    token = Guest.objects.get().qr_token
    turn_off("emails_qr_code")
    page = text_of(visitor, f"/guest/{token}")
    assert LATER in page
    assert "on its way" not in page


def test_the_page_of_a_claim_promises_what_is_sent() -> None:
    account = make_account()
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    visitor.open("code")
    assert "We tell the other email at once." in html_of(visitor.open("claim"))
    turn_off("emails_claim", "emails_claim_decided")
    page = html_of(visitor.open("claim"))
    assert "We tell the other email at once." not in page
    assert "You hear from us by email." not in page
    made = visitor.send("claim", **PERSON)
    assert Claim.objects.exists()
    assert "Our emails rest for now: they go out later." in text_of(visitor, made["Location"])


def test_a_ticket_in_the_journal_promises_no_email_while_they_rest(
    settings: Settings,
) -> None:
    from tests.helpers.outages import make_seen_event, open_breaker

    event = make_seen_event()
    for is_off in (False, True):
        if is_off:
            turn_off("emails_qr_code")
        with open_breaker():
            visitor = Visitor(event)
            visitor.give_phone(f"96123456{is_off:d}")
            page = text_of(visitor, visitor.register()["Location"])
        assert ("here and by email" in page) is not is_off
        assert "Your request is queued" in page


def test_the_page_about_privacy_says_what_is_recorded(client: Client, settings: Settings) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    english = {"headers": {"accept-language": "en"}}
    recorded = "whether they arrived and were opened"
    assert recorded in html_of(client.get("/privacy/", **english))  # type: ignore[arg-type]
    turn_off("open_tracking")
    assert recorded not in html_of(client.get("/privacy/", **english))  # type: ignore[arg-type]
