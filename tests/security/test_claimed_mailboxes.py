"""Claims with the email of a victim, who gets an email about each decision."""

import pytest
from pytest_django import Settings

from accounts.models import Claim, User
from guests.claims.services import grant_unanswered_claims
from notifications.models import Email
from tests.factories import make_account, make_event, make_staff
from tests.helpers.admin import admin_client, decision_url
from tests.helpers.claims import CLAIMANT, claim_without_a_place, let_a_day_pass, register_holder
from tests.helpers.mailboxes import SPELLINGS, VICTIM, emails_to_victim
from tests.helpers.visitors import PHONE, Visitor, error_beside, location_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_in_production(settings: Settings) -> None:
    settings.ACCOUNTS_PER_EMAIL, settings.EMAILS_PER_RECIPIENT = 3, 10


def fill(email: str) -> None:
    for _ in range(3):
        make_account(email=email)


def test_a_claim_is_counted_like_a_registration() -> None:
    event = make_event()
    register_holder(event)
    for spelling in SPELLINGS[:3]:
        make_account(email=spelling)
    thief = Visitor(event)
    thief.give_phone()
    refused = thief.send("claim", **CLAIMANT | {"email": SPELLINGS[3]})
    assert refused.status_code == 422
    assert "as many accounts" in error_beside("email", refused)
    assert not Claim.objects.exists()
    assert "/claim/" in location_of(thief.send("claim", **CLAIMANT))


def test_a_claim_with_the_accounts_own_email_does_not_count() -> None:
    event = make_event()
    account = make_account(phone=PHONE, email=VICTIM)
    make_account(email=VICTIM)
    make_account(email=VICTIM)
    owner = Visitor(event)
    owner.give_phone()
    assert "/claim/" in location_of(owner.send("claim", **CLAIMANT | {"email": account.email}))


def test_staff_cannot_grant_a_claim_whose_email_has_too_many_accounts() -> None:
    event = make_event()
    register_holder(event)
    owner = Visitor(event)
    owner.give_phone()
    owner.send("claim", **CLAIMANT)
    fill(CLAIMANT["email"])
    claim, staff = Claim.objects.get(), admin_client(make_staff())
    response = staff.post(decision_url(claim, "grant"), follow=True)
    assert "as many accounts as one may have" in response.content.decode()
    claim.refresh_from_db()
    assert claim.state == "open"
    assert User.objects.get(phone=PHONE).email != CLAIMANT["email"]
    staff.post(decision_url(claim, "refuse"))
    claim.refresh_from_db()
    assert claim.state == "refused"


def test_time_refuses_a_claim_whose_email_has_too_many_accounts() -> None:
    claim_without_a_place()
    fill(CLAIMANT["email"])
    let_a_day_pass()
    assert grant_unanswered_claims() == 0
    claim = Claim.objects.get()
    assert (claim.state, claim.decided_by) == ("refused", "time")
    assert User.objects.filter(email=CLAIMANT["email"]).count() == 3
    assert grant_unanswered_claims() == 0


@pytest.mark.slow
def test_emails_about_decisions_are_limited_for_a_mailbox() -> None:
    """Each claim has the same email and another phone, and staff refuse all of them."""
    event, staff = make_event(), admin_client(make_staff())
    for number in range(15):
        holder = make_account()
        thief = Visitor(event)
        thief.browser.defaults["REMOTE_ADDR"] = f"198.51.100.{number + 1}"
        thief.give_phone(holder.phone or "")
        thief.send("claim", **CLAIMANT | {"email": VICTIM})
        staff.post(decision_url(Claim.objects.get(account=holder), "refuse"))
    assert Email.objects.filter(kind="claim_decided", to=VICTIM).count() == 15
    assert emails_to_victim() == 10
