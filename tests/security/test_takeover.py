"""A thief who knows a guest's phone number, and has a browser and an email of their own."""

import re

import pytest
from django.core import mail

from guests.models import Event, Guest
from notifications.services import send_due_emails
from tests.factories import make_account, make_event, make_guest
from tests.helpers.visitors import PERSON, PHONE, Visitor, html_of, state_in

pytestmark = pytest.mark.django_db

THIEF = {"first_name": "Tiago", "last_name": "Ladrão", "email": "tiago@example.org"}
CODE = re.compile(r"\b\d{6}\b")


def registered(event: Event) -> tuple[Visitor, str]:
    """Return somebody who has just registered, and the path of their pass."""
    holder = Visitor(event)
    holder.give_phone()
    holder.register()
    return holder, f"/guest/{Guest.objects.get(phone=PHONE).qr_token}"


def read_mail_of_thief() -> list[str]:
    """Return every code and every link that the thief's mailbox has."""
    while send_due_emails():
        pass
    mine = [str(message.body) for message in mail.outbox if message.to == [THIEF["email"]]]
    return [found for body in mine for found in CODE.findall(body)]


def rob(event: Event, phone: str) -> Visitor:
    """Claim a phone with an email of one's own, and type whatever comes there."""
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
    thief = rob(event, PHONE)
    assert state_in(thief.look()) == ""
    assert state_in(holder.look()) == "created"
    shown = html_of(holder.get(pass_path))
    assert f"{PERSON['first_name']} {PERSON['last_name']}" in shown
    assert THIEF["first_name"] not in shown


def test_nor_from_somebody_whom_staff_put_on_the_list() -> None:
    account = make_account()
    guest = make_guest(account=account)
    thief = rob(guest.event, account.phone or "")
    assert state_in(thief.look()) == ""
    account.refresh_from_db()
    assert account.email != THIEF["email"]
    assert Guest.objects.get().qr_token == guest.qr_token


def test_the_holder_hears_of_it_at_once_and_the_thief_gets_no_email() -> None:
    event = make_event()
    registered(event)
    rob(event, PHONE)
    told = [message for message in mail.outbox if message.to == [PERSON["email"]]]
    links = [body for body in (str(each.body) for each in told) if "/from-email/claim/" in body]
    assert len(links) == 1
    assert not [message for message in mail.outbox if message.to == [THIEF["email"]]]
