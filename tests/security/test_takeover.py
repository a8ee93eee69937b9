"""A thief who knows the phone of a guest, and has a browser and an email of their own."""

import re

import pytest
from django.core import mail

from guests.models import Event, Guest
from notifications.sending import send_due_emails
from tests.factories import make_account, make_event, make_guest
from tests.helpers.visitors import PERSON, PHONE, Visitor, html_of, state_in

pytestmark = pytest.mark.django_db

THIEF = {"first_name": "Tiago", "last_name": "Ladrão", "email": "tiago@example.org"}
CODE = re.compile(r"\b\d{6}\b")


def registered(event: Event) -> tuple[Visitor, str]:
    """Register a holder, and return them with the path of their pass."""
    holder = Visitor(event)
    holder.give_phone()
    holder.register()
    return holder, f"/guest/{Guest.objects.get(phone=PHONE).qr_token}"


def read_mail_of_thief() -> list[str]:
    """Return every code in the thief's mailbox."""
    while send_due_emails():
        pass
    mine = [str(message.body) for message in mail.outbox if message.to == [THIEF["email"]]]
    return [found for body in mine for found in CODE.findall(body)]


def claim_and_try_codes(event: Event, phone: str) -> Visitor:
    """Claim a phone with the thief's email, and type every code that it receives."""
    thief = Visitor(event)
    thief.give_phone(phone)
    thief.send("claim", **THIEF)
    for code in read_mail_of_thief():
        thief.send("code", code=code)
    return thief


@pytest.mark.parametrize("attempt", range(5))
def test_a_place_is_not_taken_by_proving_another_email(attempt: int) -> None:
    event = make_event()
    holder, pass_path = registered(event)
    thief = claim_and_try_codes(event, PHONE)
    assert state_in(thief.look()) == ""
    assert state_in(holder.look()) == "created"
    shown = html_of(holder.get(pass_path))
    assert f"{PERSON['first_name']} {PERSON['last_name']}" in shown
    assert THIEF["first_name"] not in shown


def test_a_place_that_staff_gave_is_not_taken_either() -> None:
    account = make_account()
    guest = make_guest(account=account)
    thief = claim_and_try_codes(guest.event, account.phone or "")
    assert state_in(thief.look()) == ""
    account.refresh_from_db()
    assert account.email != THIEF["email"]
    assert Guest.objects.get().qr_token == guest.qr_token


def test_the_holder_gets_an_email_at_once_and_the_thief_gets_none() -> None:
    event = make_event()
    registered(event)
    claim_and_try_codes(event, PHONE)
    received = [message for message in mail.outbox if message.to == [PERSON["email"]]]
    links = [body for body in (str(each.body) for each in received) if "/from-email/claim/" in body]
    assert len(links) == 1
    assert not [message for message in mail.outbox if message.to == [THIEF["email"]]]
