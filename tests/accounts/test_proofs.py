"""Proofs of an email: by code or by link, and the sessions that end with the first one."""

import pytest
from django.test import Client

from accounts.models import Claim, User
from guests.claims.services import grant_claim
from guests.models import Guest, GuestRequest
from notifications.models import Email
from tests.factories import make_account, make_event, make_staff
from tests.helpers.claims import claim_by, register_holder
from tests.helpers.emails import link_in, send_all
from tests.helpers.visitors import PERSON, Visitor, html_of, location_of, state_in

pytestmark = pytest.mark.django_db


# Proofs by code and by link -----------------------------------------------------------------------


def test_a_proof_in_the_browser_that_registered_keeps_the_session() -> None:
    visitor = register_holder(make_event(requires_proof=True))
    visitor.send("prove")
    nonce = User.objects.get().session_nonce
    visitor.type_code(User.objects.get())
    account = User.objects.get()
    assert account.verified_at
    assert account.session_nonce == nonce
    assert account.first_name == PERSON["first_name"]


def test_the_first_proof_in_another_browser_ends_other_sessions() -> None:
    event = make_event()
    squatter, owner = register_holder(event), Visitor(event)
    assert state_in(squatter.look()) == "created"
    owner.give_phone()
    owner.type_code(User.objects.get())
    assert state_in(squatter.look()) == ""
    assert state_in(owner.look()) == "created"


def test_the_first_proof_in_another_browser_takes_over_a_processing_ticket() -> None:
    event = make_event()
    register_holder(event, htmx=True)
    before = GuestRequest.objects.get().ticket_id
    owner = Visitor(event)
    owner.give_phone()
    ticket_url = location_of(owner.type_code(User.objects.get()))
    assert GuestRequest.objects.get().ticket_id != before
    assert str(before) not in ticket_url
    assert state_in(owner.get(ticket_url)) == "created"


def test_the_owner_of_the_email_signs_a_squatter_out_by_signing_in() -> None:
    event = make_event()
    squatter, owner = register_holder(event), Visitor(event)
    send_all()
    assert "Inês Exemplo" in html_of(owner.get(link_in("qr_code", PERSON["email"])))
    assert state_in(squatter.look()) == "created"
    owner.give_phone()
    owner.type_code(User.objects.get())
    assert state_in(squatter.look()) == ""
    assert state_in(owner.look()) == "created"


def test_only_the_first_code_after_a_link_ends_sessions() -> None:
    event = make_event()
    visitor = register_holder(event)
    send_all()
    visitor.get(link_in("welcome", PERSON["email"]))
    other = Visitor(event)
    other.give_phone()
    other.type_code(User.objects.get())
    assert User.objects.get().proven_by == "email"
    again = Visitor(event)
    again.give_phone()
    again.type_code(User.objects.get())
    assert state_in(other.look()) == "created"


def test_a_later_proof_ends_no_session() -> None:
    account = make_account()
    first, second = Visitor(make_event()), Visitor(make_event())
    for visitor in (first, second):
        visitor.give_phone(account.phone or "")
        visitor.type_code(account)
    assert "/ticket/" in location_of(first.send("request"))


def test_the_welcome_link_proves_the_email_without_signing_in() -> None:
    event = make_event(requires_proof=True)
    visitor = register_holder(event)
    send_all()
    link, mail_app = link_in("welcome", PERSON["email"]), Client(headers={"accept-language": "en"})
    mail_app.head(link)
    mail_app.get(link, headers={"sec-purpose": "prefetch"})
    assert User.objects.get().verified_at is None
    assert not Email.objects.filter(kind="qr_code").exists()
    shown = mail_app.get(link)
    assert "Your email is confirmed" in html_of(shown)
    assert "no-store" in shown["Cache-Control"]
    assert User.objects.get().verified_at
    assert "_auth_user_id" not in mail_app.session
    assert state_in(visitor.look()) == "created"
    assert Email.objects.get(kind="qr_code").to == PERSON["email"]


def test_a_link_to_an_earlier_email_proves_nothing() -> None:
    register_holder(make_event())
    send_all()
    links = [link_in(kind, PERSON["email"]) for kind in ("welcome", "qr_code")]
    User.objects.update(email="corrected@example.org")
    assert Client().get(links[0]).status_code == 404
    assert PERSON["first_name"] not in html_of(Client().get(links[1]))
    assert User.objects.get().verified_at is None


def test_an_email_queued_for_an_earlier_address_is_cancelled() -> None:
    register_holder(make_event())
    User.objects.update(email="corrected@example.org")
    send_all()
    assert set(Email.objects.values_list("state", flat=True)) == {"cancelled"}


# Proof before the QR code -------------------------------------------------------------------------


def test_an_event_can_require_a_proof_before_the_qr_code() -> None:
    event = make_event(requires_proof=True)
    visitor = register_holder(event)
    guest, request = Guest.objects.get(), GuestRequest.objects.get()
    shown = visitor.look()
    assert state_in(shown) == "unproven"
    assert str(guest.qr_token) not in html_of(shown)
    own_pass = html_of(visitor.get(f"/guest/{guest.qr_token}"))
    assert "prove that it is you" in own_pass
    assert f"/media/qr/{guest.qr_token}" not in own_pass
    body = visitor.get(f"/api/client-auth/guests/requests/{request.ticket_id}").json()
    assert (body["state"], str(guest.qr_token) in str(body)) == ("unproven", False)
    assert not Email.objects.filter(kind="qr_code").exists()

    assert visitor.open("prove").status_code == 200
    assert location_of(visitor.send("prove")) == visitor.step_url("code")
    ticket_url = location_of(visitor.type_code(User.objects.get()))
    assert state_in(visitor.get(ticket_url)) == "created"
    assert visitor.get(f"/guest/{guest.qr_token}").status_code == 200
    assert Email.objects.get(kind="qr_code").cause == f"guest:{guest.pk}/1"


def test_a_granted_claim_sends_no_qr_code_if_a_proof_is_required() -> None:
    event = make_event(requires_proof=True)
    register_holder(event)
    claim_by(Visitor(event))
    grant_claim(Claim.objects.get(), acting_user=make_staff())
    assert not Email.objects.filter(kind="qr_code").exists()


def test_a_qr_email_waits_for_a_proof_that_became_required() -> None:
    event = make_event()
    visitor = register_holder(event)
    event.requires_proof = True
    event.save()
    send_all()
    assert Email.objects.get(kind="qr_code").state == Email.State.CANCELLED
    visitor.send("prove")
    visitor.type_code(User.objects.get())
    assert Email.objects.get(kind="qr_code").state == Email.State.QUEUED
