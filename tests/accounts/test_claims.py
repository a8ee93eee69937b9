"""Claims on a phone: who makes them, who objects, and how many there may be."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client
from pytest_django import Settings

from accounts.models import Claim, LoginCode, User
from guests.claims.services import grant_unanswered_claims
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest
from tests.helpers.claims import CLAIMANT, claim_by, holdings, register_holder, state_of_claim
from tests.helpers.emails import link_in, send_all
from tests.helpers.guards import at_once
from tests.helpers.visitors import PERSON, PHONE, Visitor, html_of, location_of, state_in

pytestmark = pytest.mark.django_db


# The thief ----------------------------------------------------------------------------------------


def test_the_holder_gets_an_email_at_once_and_objects_in_one_tap() -> None:
    event = make_event()
    holder, thief = register_holder(event), Visitor(event)
    made_at = location_of(claim_by(thief))
    send_all()
    link = link_in("claim", PERSON["email"])
    mail_app = Client(headers={"accept-language": "en"})

    mail_app.head(link)
    mail_app.get(link, headers={"sec-purpose": "prefetch;prerender"})
    assert Claim.objects.get().state == "open"
    assert User.objects.get().verified_at is None

    tapped = mail_app.get(link)
    assert "You objected" in html_of(tapped)
    assert "no-store" in tapped["Cache-Control"]
    assert Claim.objects.get().state == "objected"
    assert User.objects.get().verified_at
    assert "_auth_user_id" not in mail_app.session
    assert state_in(holder.look()) == "created"
    assert state_of_claim(thief.get(made_at)) == "objected"


def test_a_holder_withdraws_an_objection_and_objects_again() -> None:
    event = make_event()
    register_holder(event)
    claim_by(Visitor(event))
    send_all()
    link, mail_app = link_in("claim", PERSON["email"]), Client(headers={"accept-language": "en"})
    mail_app.get(link)
    shown = mail_app.post(link, {"answer": "withdraw"}, follow=True)
    assert "took your objection back" in html_of(shown)
    mail_app.get(link)
    assert Claim.objects.get().state == "open"
    mail_app.post(link, {"answer": "object"})
    assert Claim.objects.get().state == "objected"
    history = (
        Claim.objects.get().changes.order_by("pk").values_list("from_state", "to_state", "actor")
    )
    assert list(history) == [
        ("", "open", "claimant"),
        ("open", "objected", "holder"),
        ("objected", "open", "holder"),
        ("open", "objected", "holder"),
    ]


def test_a_changed_link_makes_neither_an_objection_nor_a_proof() -> None:
    event = make_event()
    register_holder(event)
    claim_by(Visitor(event))
    account, claim = User.objects.get(), Claim.objects.get()
    send_all()
    good = link_in("claim", PERSON["email"])
    proof = good.partition("?proof=")[2]
    for path in (
        f"/from-email/claim/{claim.pk}/",
        f"/from-email/claim/{claim.pk}/?proof={proof[:-1]}",
        f"/from-email/claim/{claim.pk + 1}/?proof={proof}",
        f"/from-email/claim/{10**30}/?proof={proof}",
        f"/from-email/welcome/{account.pk}/?proof={proof}",
        f"/from-email/welcome/{account.pk}/?proof=%ff",
        f"/from-email/welcome/{10**30}/?proof={proof}",
    ):
        assert Client().get(path).status_code == 404, path
        assert Client().post(path, {"answer": "object"}).status_code == 404, path
    assert Claim.objects.get().state == "open"
    assert User.objects.get().verified_at is None


def test_a_claim_on_a_proven_account_changes_nothing() -> None:
    event = make_event()
    account = make_account(phone=PHONE)
    User.objects.update(verified_at=F("created_at"))
    make_guest(event, account)
    before, thief = holdings(), Visitor(event)
    assert state_of_claim(thief.get(location_of(claim_by(thief)))) == "open"
    assert holdings() == before
    Claim.objects.update(created_at=F("created_at") - timedelta(days=10))
    send_all()
    Email.objects.update(sent_at=F("sent_at") - timedelta(days=10))
    assert grant_unanswered_claims() == 0
    assert holdings() == before


@pytest.mark.slow
def test_claims_do_not_fill_the_holders_mailbox() -> None:
    event = make_event()
    register_holder(event)
    for number in range(6):
        thief = Visitor(event)
        thief.browser.defaults["REMOTE_ADDR"] = f"192.0.2.{number}"
        thief.give_phone()
        LoginCode.objects.update(created_at=F("created_at") - timedelta(hours=1))
        thief.send("claim", **CLAIMANT)
    assert Claim.objects.count() == 6
    assert Email.objects.filter(kind="claim").count() == 3


def test_one_browser_and_one_network_make_few_claims() -> None:
    event = make_event()
    register_holder(event)
    thief = Visitor(event)
    first, again = claim_by(thief), thief.send("claim", **CLAIMANT)
    assert location_of(first) == location_of(again)
    claim_by(Visitor(event))
    refused = claim_by(Visitor(event))
    assert refused.status_code == 403
    assert "claimed already" in html_of(refused)
    assert Claim.objects.count() == 2


def test_an_account_has_a_limit_of_claims_from_all_networks(settings: Settings) -> None:
    settings.CLAIMS_PER_ACCOUNT = 3
    event = make_event()
    register_holder(event)
    for number in range(4):
        thief = Visitor(event)
        thief.browser.defaults["REMOTE_ADDR"] = f"192.0.2.{number}"
        claim_by(thief)
    assert Claim.objects.count() == 3


def test_only_the_browser_that_made_a_claim_sees_it() -> None:
    event = make_event()
    register_holder(event)
    claimant = Visitor(event)
    url = location_of(claim_by(claimant))
    shown = html_of(claimant.get(url))
    assert CLAIMANT["email"] in shown
    assert PERSON["email"] not in shown
    assert PERSON["first_name"] not in shown
    assert Visitor(event).get(url).status_code == 404
    with_browser = Visitor(event)
    with_browser.give_phone()
    assert with_browser.get(url).status_code == 404


# The owner ----------------------------------------------------------------------------------------


def test_the_claim_form_explains_a_claim_and_its_duration() -> None:
    event = make_event()
    register_holder(event)
    owner = Visitor(event)
    owner.give_phone()
    assert "This is not my email" in html_of(owner.open("code"))
    form = html_of(owner.open("claim"))
    assert 'name="email"' in form
    assert "Until then nothing changes" in form
    assert "24 hours" in form
    made = owner.get(location_of(owner.send("claim", **CLAIMANT)))
    assert state_of_claim(made) == "open"
    assert location_of(owner.open("claim")) == made.request["PATH_INFO"]
    partial = Visitor(event, htmx=True)
    claim_by(partial)
    assert state_of_claim(partial.send("claim", **CLAIMANT)) == "open"


@pytest.mark.django_db(transaction=True)
def test_concurrent_claim_forms_make_one_claim() -> None:
    event = make_event()
    register_holder(event)
    claimant = Visitor(event)
    claimant.give_phone()
    claimant.open("code")
    claimant.open("claim")

    def send() -> int:
        twin = Visitor(event)
        twin.browser.cookies = claimant.browser.cookies
        twin.hidden = claimant.hidden
        return twin.send("claim", **CLAIMANT).status_code

    assert at_once([send] * 4) == [303] * 4
    assert Claim.objects.count() == 1
    assert Email.objects.filter(kind="claim").count() == 1
