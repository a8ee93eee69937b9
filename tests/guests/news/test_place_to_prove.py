"""A place that is given to somebody who is away, at an event that asks for a proof."""

from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from guests.lists.services import NewGuest, add_guest, move_guest
from guests.models import Event, Guest
from guests.requests.event_changes import cancel_event
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from notifications.resending import resend_email
from tests.factories import make_account, make_event, make_guest, with_database_time
from tests.helpers.emails import send_all

pytestmark = pytest.mark.django_db


def promoted(manager: User, **fields: object) -> Guest:
    first = make_guest(make_event(capacity=1, requires_proof=True))
    waiting = make_guest(first.event, make_account(language="en", **fields))
    send_all()
    mail.outbox.clear()
    cancel_guests(first.event_id, [first.pk], acting_user=manager)
    waiting.refresh_from_db()
    assert waiting.is_promoted
    return waiting


def kinds_of(guest: Guest) -> list[str]:
    emails = Email.objects.filter(cause__startswith=f"guest:{guest.pk}/").order_by("pk")
    return list(emails.values_list("kind", flat=True))


def test_a_promoted_guest_is_asked_for_the_proof_and_gets_the_code_then(manager: User) -> None:
    guest = promoted(manager)
    assert kinds_of(guest) == ["waitlisted", "place_to_prove"]
    send_all()
    (message,) = mail.outbox
    assert message.to == [guest.account.email]
    assert message.subject.startswith("A place has become free")
    assert not message.attachments
    body = str(message.body)
    assert "/guest/" not in body
    assert "/media/" not in body
    (link,) = [word for word in body.split() if "/from-email/welcome/" in word]
    parts = urlsplit(link)
    Client().post(f"{parts.path}?{parts.query}")
    send_all()
    assert kinds_of(guest)[-1] == "qr_code"
    assert "your QR code for" in mail.outbox[-1].subject
    assert mail.outbox[-1].subject.startswith("A place has become free")


def test_a_proven_guest_gets_the_code_at_once(manager: User) -> None:
    first = make_guest(make_event(capacity=1, requires_proof=True))
    waiting = make_guest(first.event)
    User.objects.filter(pk=waiting.account_id).update(verified_at=waiting.created_at)
    cancel_guests(first.event_id, [first.pk], acting_user=manager)
    assert kinds_of(waiting) == ["waitlisted", "qr_code"]


def test_who_asks_for_the_place_reads_it_on_the_page() -> None:
    assert kinds_of(make_guest(make_event(requires_proof=True))) == []


@pytest.mark.parametrize("email", ["ana@example.com", ""])
def test_a_guest_whom_staff_add_is_asked(manager: User, email: str) -> None:
    event = make_event(requires_proof=True)
    guest = add_guest(event, NewGuest(name="Ana", email=email), acting_user=manager)
    assert kinds_of(guest) == (["place_to_prove"] if email else [])


def test_a_guest_whom_staff_move_is_asked(manager: User) -> None:
    moved = move_guest(make_guest(), make_event(requires_proof=True), acting_user=manager)
    assert kinds_of(moved) == ["place_to_prove"]


def proven(guest: Guest, manager: User) -> None:
    User.objects.filter(pk=guest.account_id).update(verified_at=guest.created_at)


def no_longer_asked(guest: Guest, manager: User) -> None:
    Event.objects.update(requires_proof=False)


def cancelled(guest: Guest, manager: User) -> None:
    cancel_event(with_database_time(guest.event), acting_user=manager)


def removed(guest: Guest, manager: User) -> None:
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)


def changed_address(guest: Guest, manager: User) -> None:
    User.objects.filter(pk=guest.account_id).update(email="outra@example.com")


@pytest.mark.parametrize("change", [proven, no_longer_asked, cancelled, removed, changed_address])
def test_it_is_not_sent_when_it_is_no_longer_so(manager: User, change: object) -> None:
    assert callable(change)
    guest = promoted(manager)
    change(guest, manager)
    send_all()
    assert Email.objects.get(kind="place_to_prove").state == "cancelled"


def test_staff_send_it_again_while_the_proof_is_missing(manager: User) -> None:
    guest = promoted(manager)
    cause = f"guest:{guest.pk}/1"
    Email.objects.update(state="bounced")
    assert resend_email("qr_code", cause, actor="account:1").refusal == "unproven"
    assert resend_email("place_to_prove", cause, actor="account:1").refusal == ""
    proven(guest, manager)
    assert resend_email("place_to_prove", cause, actor="account:1").refusal == "not_wanted"
