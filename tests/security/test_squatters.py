"""Somebody who registers with a phone before its owner comes, and the owner who comes."""

import pytest
from pytest_django import Settings

from accounts.models import Claim, LoginCode, User
from guests.creation import create_due_guests
from guests.models import Event, Guest, GuestRequest
from notifications.models import Email
from notifications.services import send_due_emails
from tests.factories import make_account, make_event
from tests.promo.visitors import (
    PERSON,
    PHONE,
    Visitor,
    html_of,
    last_code,
    location_of,
    state_in,
)

pytestmark = pytest.mark.django_db

OWNER = {"first_name": "Marta", "last_name": "Verdadeira", "email": "marta@example.org"}


def squatter_on(event: Event, *, htmx: bool = False) -> Visitor:
    squatter = Visitor(event, htmx=htmx)
    squatter.give_phone()
    squatter.register()
    return squatter


def claimed(visitor: Visitor) -> str:
    """Claim the squatted phone, type the code, and return where that leads."""
    visitor.give_phone()
    visitor.send("claim", **OWNER)
    return location_of(visitor.type_code(User.objects.get(phone=PHONE)))


def test_proving_ones_own_email_where_one_registered_drops_nothing() -> None:
    visitor = squatter_on(make_event(requires_proof=True))
    visitor.send("prove")
    nonce = User.objects.get().session_nonce
    visitor.type_code(User.objects.get())
    account = User.objects.get()
    assert account.verified_at
    assert account.session_nonce == nonce
    assert account.first_name == PERSON["first_name"]


def test_the_first_proof_elsewhere_ends_the_sessions_there_were() -> None:
    event = make_event()
    squatter, owner = squatter_on(event), Visitor(event)
    assert state_in(squatter.look()) == "created"
    owner.give_phone()
    owner.type_code(User.objects.get())
    assert state_in(squatter.look()) == ""
    assert state_in(owner.look()) == "created"


def test_a_later_proof_ends_no_session() -> None:
    account = make_account()
    first, second = Visitor(make_event()), Visitor(make_event())
    for visitor in (first, second):
        visitor.give_phone(account.phone or "")
        visitor.type_code(account)
    assert "/ticket/" in location_of(first.send("request"))


def test_the_owner_claims_the_phone_and_the_squatter_is_left_with_nothing() -> None:
    event = make_event()
    squatter = squatter_on(event)
    stolen = Guest.objects.get().qr_token
    owner = Visitor(event)
    owner.give_phone()
    assert "This is not my email" in html_of(owner.open("code"))
    assert 'name="email"' in html_of(owner.open("claim"))
    ticket_url = claimed(owner)
    account, guest = User.objects.get(), Guest.objects.get()
    assert (account.first_name, account.email) == ("Marta", OWNER["email"])
    assert account.verified_at
    assert not Claim.objects.exists()
    assert guest.name == "Marta Verdadeira"
    assert guest.qr_token not in {None, stolen}
    assert state_in(owner.get(ticket_url)) == "created"
    assert state_in(squatter.look()) == ""
    assert squatter.get(f"/guest/{stolen}").status_code == 404
    told = Email.objects.filter(kind="qr_code").order_by("pk").values_list("to", "cause")
    assert list(told) == [
        (PERSON["email"], f"guest:{guest.pk}/1"),
        (OWNER["email"], f"guest:{guest.pk}/2"),
    ]


def test_a_claim_takes_the_ticket_that_is_still_processing_away_from_the_squatter() -> None:
    event = make_event()
    squatter_on(event, htmx=True)
    before = GuestRequest.objects.get().ticket_id
    claimed(Visitor(event))
    request = GuestRequest.objects.get()
    assert request.ticket_id != before
    create_due_guests()
    assert Guest.objects.get().name == "Marta Verdadeira"
    assert Email.objects.get(kind="qr_code").to == OWNER["email"]


def test_a_claim_without_its_code_changes_nothing() -> None:
    event = make_event()
    squatter, thief = squatter_on(event), Visitor(event)
    thief.give_phone()
    thief.send("claim", **OWNER)
    thief.send("code", code="000000")
    account = User.objects.get()
    assert account.email == PERSON["email"]
    assert account.verified_at is None
    assert state_in(squatter.look()) == "created"


def test_a_proven_account_can_never_be_claimed() -> None:
    event, account = make_event(), make_account(phone=PHONE)
    thief = Visitor(event)
    thief.give_phone()
    thief.send("claim", **OWNER)
    claim_code = last_code(account)
    User.objects.update(verified_at=claim_code.created_at)
    shown = thief.send("code", code=claim_code.digits())
    assert shown.status_code == 422
    account.refresh_from_db()
    assert account.email != OWNER["email"]
    assert location_of(thief.send("claim", **OWNER)) == thief.step_url("phone")
    assert "not my" not in html_of(thief.open("code"))


def test_with_sms_only_the_phone_itself_proves_a_claim(settings: Settings) -> None:
    settings.SMS_BACKEND = "tests.security.test_channels.sent"
    event = make_event()
    squatter_on(event)
    owner = Visitor(event)
    owner.give_phone()
    owner.send("claim", **OWNER)
    code = LoginCode.objects.latest("pk")
    assert code.channel == "sms"
    assert not Email.objects.filter(kind="login_code").exists()
    assert "by SMS" in html_of(owner.open("code"))
    owner.send("code", code=code.digits())
    assert User.objects.get().email == OWNER["email"]


# Proof before the QR code ------------------------------------------------------------------------


def test_an_event_may_ask_for_a_proof_before_it_shows_the_qr_code() -> None:
    event = make_event(requires_proof=True)
    visitor = squatter_on(event)
    guest, request = Guest.objects.get(), GuestRequest.objects.get()
    shown = visitor.look()
    assert state_in(shown) == "unproven"
    assert str(guest.qr_token) not in html_of(shown)
    assert visitor.get(f"/guest/{guest.qr_token}").status_code == 404
    told = visitor.get(f"/api/client-auth/guests/requests/{request.ticket_id}").json()
    assert (told["state"], str(guest.qr_token) in str(told)) == ("unproven", False)
    assert not Email.objects.filter(kind="qr_code").exists()

    assert visitor.open("prove").status_code == 200
    assert location_of(visitor.send("prove")) == visitor.step_url("code")
    ticket_url = location_of(visitor.type_code(User.objects.get()))
    assert state_in(visitor.get(ticket_url)) == "created"
    assert visitor.get(f"/guest/{guest.qr_token}").status_code == 200
    assert Email.objects.get(kind="qr_code").cause == f"guest:{guest.pk}/1"


def test_a_qr_email_that_was_due_when_proof_became_necessary_goes_out_after_it() -> None:
    event = make_event()
    visitor = squatter_on(event)
    event.requires_proof = True
    event.save()
    while send_due_emails():
        pass
    assert Email.objects.get(kind="qr_code").state == Email.State.CANCELLED
    visitor.send("prove")
    visitor.type_code(User.objects.get())
    assert Email.objects.get(kind="qr_code").state == Email.State.QUEUED
