"""How a claim ends: by staff, by time, or by a code to the phone itself."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db.models import F
from django.test import Client
from pytest_django import Settings

from accounts.exceptions import AccountError
from accounts.models import Claim, LoginCode, User
from guests.claims.services import grant_claim, grant_unanswered_claims, refuse_claim, undo_claim
from guests.models import Guest, GuestRequest
from guests.requests.creating import create_due_guests
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers import sms
from tests.helpers.claims import (
    CLAIMANT,
    claim_by,
    claim_without_a_place,
    holdings,
    let_a_day_pass,
    register_holder,
    state_of_claim,
)
from tests.helpers.emails import link_in, send_all
from tests.helpers.guards import at_once, without_locks
from tests.helpers.visitors import PERSON, PHONE, Visitor, html_of, last_code, location_of, state_in

pytestmark = pytest.mark.django_db


# Staff --------------------------------------------------------------------------------------------


def test_a_claim_that_staff_grant_gives_the_account_and_its_places_to_the_owner() -> None:
    event = make_event()
    squatter, owner, staff = register_holder(event), Visitor(event), make_staff()
    stolen = Guest.objects.get().qr_token
    made_at = location_of(claim_by(owner))
    rival = Visitor(event)
    claim_by(rival)
    known = Visitor(event)
    known.give_phone()
    old_code = last_code(User.objects.get(phone=PHONE))
    grant_claim(Claim.objects.earliest("pk"), acting_user=staff)

    account, guest = User.objects.get(phone=PHONE), Guest.objects.get()
    assert (account.name, account.email) == ("Marta Verdadeira", CLAIMANT["email"])
    assert account.verified_at is None
    assert guest.name == "Marta Verdadeira"
    assert guest.qr_token not in {None, stolen}
    assert state_in(squatter.look()) == ""
    assert "is not valid" in html_of(squatter.get(f"/guest/{stolen}"))
    assert known.send("code", code=old_code.digits()).status_code == 422
    assert state_of_claim(owner.get(made_at)) == "granted"
    assert list(Claim.objects.order_by("pk").values_list("state", "decided_by")) == [
        ("granted", f"account:{staff.pk}"),
        ("refused", f"claim:{Claim.objects.earliest('pk').pk}"),
    ]
    send_all()
    sent = Email.objects.filter(state="sent").values_list("kind", "to")
    assert ("claim_decided", CLAIMANT["email"]) in sent
    assert ("claim_decided", PERSON["email"]) in sent
    assert ("qr_code", CLAIMANT["email"]) in sent

    owner.give_phone()
    owner.type_code(account)
    assert state_in(owner.look()) == "created"


@pytest.mark.django_db(transaction=True)
def test_an_undone_claim_restores_the_same_qr_code() -> None:
    event, later = make_event(), make_event()
    holder, owner, staff = register_holder(event), Visitor(event), make_staff()
    before, image = holdings(), html_of(holder.look())
    claim_by(owner)
    claim = Claim.objects.get()
    send_all()
    old_link = link_in("qr_code", PERSON["email"])
    grant_claim(claim, acting_user=staff)
    assert "is not valid" in html_of(Client(headers={"accept-language": "en"}).get(old_link))
    made_meanwhile = make_guest(later, User.objects.get(phone=PHONE)).qr_token
    granted = Guest.objects.get(event=event).qr_token

    undo_claim(Claim.objects.get(), acting_user=staff)
    after = holdings()
    for field in ("first_name", "last_name", "email", "verified_at", "browser"):
        assert after[field] == before[field]
    assert after["session_nonce"] != before["session_nonce"]
    guest = Guest.objects.get(event=event)
    assert str(guest.qr_token) in image
    assert guest.name == "Inês Exemplo"
    assert default_storage.exists(f"qr/{guest.qr_token}.png")
    assert not default_storage.exists(f"qr/{granted}.png")
    assert "Inês Exemplo" in html_of(Client().get(old_link))
    new = Guest.objects.get(event=later)
    assert new.qr_token != made_meanwhile
    assert new.name == "Inês Exemplo"
    assert Claim.objects.get().state == "undone"
    assert Email.objects.filter(cause__endswith="undone/holder", to=PERSON["email"]).exists()
    assert Email.objects.filter(cause=f"guest:{guest.pk}/3", to=PERSON["email"]).exists()


def test_a_granted_claim_moves_a_processing_ticket() -> None:
    event = make_event()
    register_holder(event, htmx=True)
    before = GuestRequest.objects.get().ticket_id
    claim_by(Visitor(event))
    grant_claim(Claim.objects.get(), acting_user=make_staff())
    assert GuestRequest.objects.get().ticket_id != before
    create_due_guests()
    assert Guest.objects.get().name == "Marta Verdadeira"
    assert Email.objects.get(kind="qr_code").to == CLAIMANT["email"]


def decide_at_once(guarded: bool) -> int:
    """Grant and refuse a claim concurrently, and return how many decisions counted."""
    event = make_event()
    guest = make_guest(event)
    claimant = Visitor(event)
    claim_by(claimant, guest.phone or "")
    claim, staff = Claim.objects.latest("pk"), make_staff()

    def decide(decision: Callable[..., None]) -> bool:
        try:
            decision(claim, acting_user=staff)
        except AccountError:
            return False
        return True

    decisions = [grant_claim, refuse_claim] * 2
    works: list[Callable[[], bool]] = [partial(decide, decision) for decision in decisions]
    if not guarded:
        works = [without_locks(work, "accounts_user") for work in works]
    counted = at_once(works).count(True)
    if guarded:
        granted = Claim.objects.get(pk=claim.pk).state == "granted"
        assert (User.objects.get(pk=guest.account_id).email == CLAIMANT["email"]) is granted
        assert Email.objects.filter(kind="claim_decided").count() == 2
        assert claim.changes.count() == 2
    return counted


@pytest.mark.django_db(transaction=True)
def test_one_of_many_concurrent_decisions_counts() -> None:
    assert decide_at_once(guarded=True) == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_several_concurrent_decisions_count() -> None:
    """Show the race that the lock prevents."""
    assert any(decide_at_once(guarded=False) > 1 for _ in range(10))


def test_a_request_that_failed_is_replayed_under_another_ticket() -> None:
    event = make_event()
    register_holder(event, htmx=True)
    GuestRequest.objects.update(state="dead", ended_at=F("accepted_at"))
    before = GuestRequest.objects.get().ticket_id
    claim_by(Visitor(event))
    grant_claim(Claim.objects.get(), acting_user=make_staff())
    request = GuestRequest.objects.get()
    assert request.ticket_id != before
    assert request.name == "Marta Verdadeira"


# Time ---------------------------------------------------------------------------------------------


def test_a_claim_on_an_account_without_a_place_is_granted_after_a_day() -> None:
    claim_without_a_place()
    assert grant_unanswered_claims() == 0
    Claim.objects.update(created_at=F("created_at") - timedelta(days=1))
    assert grant_unanswered_claims() == 0, "the email left just now"
    Email.objects.update(sent_at=F("sent_at") - timedelta(days=1))
    call_command("sweeper", "--once")
    account = User.objects.get(phone=PHONE)
    assert (account.email, account.verified_at) == (CLAIMANT["email"], None)
    claim = Claim.objects.get()
    assert (claim.state, claim.decided_by) == ("granted", "time")
    assert claim.taken
    assert claim.taken["email"] == PERSON["email"]


def test_time_grants_no_claim_on_an_account_with_a_coming_place() -> None:
    event = make_event()
    register_holder(event)
    claim_by(Visitor(event))
    send_all()
    let_a_day_pass()
    before = holdings()
    assert grant_unanswered_claims() == 0
    assert holdings() == before


@pytest.mark.parametrize("what", ["objected", "proven", "untold", "rival", "staff"])
def test_time_grants_no_claim_in_these_cases(what: str) -> None:
    owner = claim_without_a_place()
    let_a_day_pass()
    match what:
        case "objected":
            Client().get(link_in("claim", PERSON["email"]))
        case "proven":
            Client().get(link_in("welcome", PERSON["email"]))
        case "untold":
            Email.objects.filter(kind="claim").update(sent_at=None, state="queued")
        case "rival":
            rival = Visitor(make_event())
            rival.give_phone()
            rival.send("claim", **CLAIMANT)
        case "staff":
            User.objects.filter(phone=PHONE).update(is_staff=True)
    assert grant_unanswered_claims() == 0
    assert User.objects.get(phone=PHONE).email == PERSON["email"]
    assert state_in(owner.look()) == ""


def test_a_claim_is_granted_when_its_email_bounces() -> None:
    claim_without_a_place()
    let_a_day_pass()
    Email.objects.filter(kind="claim").update(state="bounced", sent_at=None)
    assert grant_unanswered_claims() == 1


# SMS ----------------------------------------------------------------------------------------------


def test_an_sms_code_to_the_phone_grants_a_claim(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.WORKING
    event = make_event()
    squatter, owner = register_holder(event), Visitor(event)
    stolen = Guest.objects.get().qr_token
    made = owner.get(location_of(claim_by(owner)))
    assert "by SMS" in html_of(made)
    code = LoginCode.objects.latest("pk")
    assert (code.channel, code.claim) == ("sms", Claim.objects.get())
    assert not Email.objects.filter(kind="login_code").exists()
    assert User.objects.get().email == PERSON["email"]
    owner.send("code", code=code.digits())
    account = User.objects.get()
    assert (account.email, bool(account.verified_at)) == (CLAIMANT["email"], True)
    assert (Claim.objects.get().state, Claim.objects.get().decided_by) == ("granted", "phone")
    assert state_in(owner.look()) == "created"
    assert state_in(squatter.look()) == ""
    assert "is not valid" in html_of(squatter.get(f"/guest/{stolen}"))


def test_the_page_of_a_claim_mentions_an_sms_only_if_it_was_sent(settings: Settings) -> None:
    settings.SMS_BACKEND, settings.LOGIN_CODES_PER_PHONE = sms.WORKING, 1
    event = make_event()
    register_holder(event)
    owner = Visitor(event)
    made = html_of(owner.get(location_of(claim_by(owner))))
    assert "We sent a code" not in made
    assert "With a code by SMS" in made


def test_a_second_sms_code_belongs_to_the_same_claim(settings: Settings) -> None:
    settings.SMS_BACKEND = sms.WORKING
    event = make_event()
    account = make_account(phone=PHONE)
    User.objects.update(verified_at=F("created_at"))
    owner = Visitor(event)
    claim_by(owner)
    owner.send("code", resend="1")
    code = LoginCode.objects.latest("pk")
    assert (code.channel, code.claim) == ("sms", Claim.objects.get())
    owner.send("code", code=code.digits())
    account.refresh_from_db()
    assert account.email == CLAIMANT["email"]


def test_no_code_grants_a_claim_on_the_account_of_staff(
    settings: Settings,
) -> None:
    settings.SMS_BACKEND = sms.WORKING
    event, staff = make_event(), make_staff(phone=PHONE)
    thief = Visitor(event)
    url = location_of(claim_by(thief))
    code = LoginCode.objects.latest("pk")
    assert code.channel == "sms"
    assert location_of(thief.send("code", code=code.digits())) == thief.step_url("claim")
    assert state_of_claim(thief.get(url)) == "open"
    account = User.objects.get(phone=PHONE)
    assert (account.email, account.password) == (staff.email, staff.password)
    assert "_auth_user_id" not in thief.browser.session
    assert Claim.objects.get().changes.filter(actor="phone").count() == 1


def test_a_phone_proven_by_sms_gets_its_next_code_by_sms(
    settings: Settings,
) -> None:
    settings.SMS_BACKEND = sms.WORKING
    event = make_event()
    squatter, owner = register_holder(event), Visitor(event)
    owner.give_phone()
    owner.send("code", code=LoginCode.objects.latest("pk").digits())
    assert state_in(owner.look()) == "created"
    assert state_in(squatter.look()) == ""
    squatter.give_phone()
    assert LoginCode.objects.latest("pk").channel == "sms"
    assert not Email.objects.filter(kind="login_code").exists()
