"""A phone that two people say is theirs: whoever came first, whoever came later, and thieves."""

import re
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
from guests.models import Event, Guest, GuestRequest
from guests.requests.creating import create_due_guests
from notifications.models import Email
from notifications.services import send_due_emails
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.emails import link_in, send_all
from tests.helpers.guards import at_once, without_locks
from tests.helpers.visitors import (
    PERSON,
    PHONE,
    Answer,
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


def claim_by(visitor: Visitor, phone: str = PHONE) -> Answer:
    visitor.give_phone(phone)
    return visitor.send("claim", **OWNER)


def state_of_claim(response: Answer) -> str:
    found = re.search(r'data-claim="(\w+)"', html_of(response))
    return found[1] if found else ""


def held() -> dict[str, object]:
    """Everything that a thief wants, as it is now."""
    account = User.objects.get(phone=PHONE)
    fields = ["first_name", "last_name", "email", "session_nonce", "verified_at", "browser"]
    guests = Guest.objects.filter(account=account).values("name", "qr_token", "state", "listings")
    return {field: getattr(account, field) for field in fields} | {"guests": list(guests)}


# The thief ---------------------------------------------------------------------------------------


def test_the_holder_is_told_at_once_and_objects_in_one_tap() -> None:
    event = make_event()
    holder, thief = squatter_on(event), Visitor(event)
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


def test_an_objection_is_taken_back_and_made_again() -> None:
    event = make_event()
    squatter_on(event)
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


def test_a_thief_makes_no_objection_and_no_proof_with_other_links() -> None:
    event = make_event()
    squatter_on(event)
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


def test_a_proven_account_can_be_claimed_and_keeps_everything() -> None:
    event = make_event()
    account = make_account(phone=PHONE)
    User.objects.update(verified_at=F("created_at"))
    make_guest(event, account)
    before, thief = held(), Visitor(event)
    assert state_of_claim(thief.get(location_of(claim_by(thief)))) == "open"
    assert held() == before
    Claim.objects.update(created_at=F("created_at") - timedelta(days=10))
    send_all()
    Email.objects.update(sent_at=F("sent_at") - timedelta(days=10))
    assert grant_unanswered_claims() == 0
    assert held() == before


def test_claims_do_not_fill_the_holders_mailbox() -> None:
    event = make_event()
    squatter_on(event)
    for number in range(6):
        thief = Visitor(event)
        thief.browser.defaults["REMOTE_ADDR"] = f"192.0.2.{number}"
        thief.give_phone()
        LoginCode.objects.update(created_at=F("created_at") - timedelta(hours=1))
        thief.send("claim", **OWNER)
    assert Claim.objects.count() == 6
    assert Email.objects.filter(kind="claim").count() == 3


def test_one_browser_and_one_network_make_few_claims() -> None:
    event = make_event()
    squatter_on(event)
    thief = Visitor(event)
    first, again = claim_by(thief), thief.send("claim", **OWNER)
    assert location_of(first) == location_of(again)
    claim_by(Visitor(event))
    refused = claim_by(Visitor(event))
    assert refused.status_code == 403
    assert "claimed already" in html_of(refused)
    assert Claim.objects.count() == 2


def test_an_account_takes_so_many_claims_from_all_networks(settings: Settings) -> None:
    settings.CLAIMS_PER_ACCOUNT = 3
    event = make_event()
    squatter_on(event)
    for number in range(4):
        thief = Visitor(event)
        thief.browser.defaults["REMOTE_ADDR"] = f"192.0.2.{number}"
        claim_by(thief)
    assert Claim.objects.count() == 3


def test_a_claim_is_shown_to_the_browser_that_made_it_only() -> None:
    event = make_event()
    squatter_on(event)
    claimant = Visitor(event)
    url = location_of(claim_by(claimant))
    shown = html_of(claimant.get(url))
    assert OWNER["email"] in shown
    assert PERSON["email"] not in shown
    assert PERSON["first_name"] not in shown
    assert Visitor(event).get(url).status_code == 404
    with_browser = Visitor(event)
    with_browser.give_phone()
    assert with_browser.get(url).status_code == 404


# The owner ---------------------------------------------------------------------------------------


def test_the_owner_reads_what_a_claim_means_and_how_long_it_takes() -> None:
    event = make_event()
    squatter_on(event)
    owner = Visitor(event)
    owner.give_phone()
    assert "This is not my email" in html_of(owner.open("code"))
    form = html_of(owner.open("claim"))
    assert 'name="email"' in form
    assert "Until then nothing changes" in form
    assert "24 hours" in form
    made = owner.get(location_of(owner.send("claim", **OWNER)))
    assert state_of_claim(made) == "open"
    assert location_of(owner.open("claim")) == made.request["PATH_INFO"]
    partial = Visitor(event, htmx=True)
    claim_by(partial)
    assert state_of_claim(partial.send("claim", **OWNER)) == "open"


def test_staff_give_the_account_to_the_owner_and_the_squatter_is_left_with_nothing() -> None:
    event = make_event()
    squatter, owner, staff = squatter_on(event), Visitor(event), make_staff()
    stolen = Guest.objects.get().qr_token
    made_at = location_of(claim_by(owner))
    rival = Visitor(event)
    claim_by(rival)
    known = Visitor(event)
    known.give_phone()
    old_code = last_code(User.objects.get(phone=PHONE))
    grant_claim(Claim.objects.earliest("pk"), acting_user=staff)

    account, guest = User.objects.get(phone=PHONE), Guest.objects.get()
    assert (account.name, account.email) == ("Marta Verdadeira", OWNER["email"])
    assert account.verified_at is None
    assert guest.name == "Marta Verdadeira"
    assert guest.qr_token not in {None, stolen}
    assert state_in(squatter.look()) == ""
    assert squatter.get(f"/guest/{stolen}").status_code == 404
    assert known.send("code", code=old_code.digits()).status_code == 422
    assert state_of_claim(owner.get(made_at)) == "granted"
    assert list(Claim.objects.order_by("pk").values_list("state", "decided_by")) == [
        ("granted", f"account:{staff.pk}"),
        ("refused", f"claim:{Claim.objects.earliest('pk').pk}"),
    ]
    send_all()
    sent = Email.objects.filter(state="sent").values_list("kind", "to")
    assert ("claim_decided", OWNER["email"]) in sent
    assert ("claim_decided", PERSON["email"]) in sent
    assert ("qr_code", OWNER["email"]) in sent

    owner.give_phone()
    owner.type_code(account)
    assert state_in(owner.look()) == "created"


@pytest.mark.django_db(transaction=True)
def test_an_undone_claim_gives_the_very_same_qr_code_back() -> None:
    event, later = make_event(), make_event()
    holder, owner, staff = squatter_on(event), Visitor(event), make_staff()
    before, image = held(), html_of(holder.look())
    claim_by(owner)
    claim = Claim.objects.get()
    send_all()
    old_link = link_in("qr_code", PERSON["email"])
    grant_claim(claim, acting_user=staff)
    assert Client().get(old_link).status_code == 404
    made_meanwhile = make_guest(later, User.objects.get(phone=PHONE)).qr_token
    granted = Guest.objects.get(event=event).qr_token

    undo_claim(Claim.objects.get(), acting_user=staff)
    after = held()
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


def test_a_granted_claim_takes_the_ticket_that_is_still_processing_with_it() -> None:
    event = make_event()
    squatter_on(event, htmx=True)
    before = GuestRequest.objects.get().ticket_id
    claim_by(Visitor(event))
    grant_claim(Claim.objects.get(), acting_user=make_staff())
    assert GuestRequest.objects.get().ticket_id != before
    create_due_guests()
    assert Guest.objects.get().name == "Marta Verdadeira"
    assert Email.objects.get(kind="qr_code").to == OWNER["email"]


def decide_at_once(guarded: bool) -> int:
    """Have a claim granted and refused at the same moment, and say how many decisions counted."""
    event = make_event()
    guest = make_guest(event)
    claimant = Visitor(event)
    claim_by(claimant, guest.phone)
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
        assert (User.objects.get(pk=guest.account_id).email == OWNER["email"]) is granted
        assert Email.objects.filter(kind="claim_decided").count() == 2
        assert claim.changes.count() == 2
    return counted


@pytest.mark.django_db(transaction=True)
def test_of_many_decisions_at_once_one_counts() -> None:
    assert decide_at_once(guarded=True) == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_accounts_lock_several_decisions_count() -> None:
    """Show what the lock is there to prevent."""
    assert any(decide_at_once(guarded=False) > 1 for _ in range(10))


@pytest.mark.django_db(transaction=True)
def test_forms_that_are_sent_twice_at_once_make_one_claim() -> None:
    event = make_event()
    squatter_on(event)
    claimant = Visitor(event)
    claimant.give_phone()
    claimant.open("code")
    claimant.open("claim")

    def send() -> int:
        twin = Visitor(event)
        twin.browser.cookies = claimant.browser.cookies
        twin.hidden = claimant.hidden
        return twin.send("claim", **OWNER).status_code

    assert at_once([send] * 4) == [303] * 4
    assert Claim.objects.count() == 1
    assert Email.objects.filter(kind="claim").count() == 1


def test_a_request_that_failed_is_replayed_under_another_ticket() -> None:
    event = make_event()
    squatter_on(event, htmx=True)
    GuestRequest.objects.update(state="dead", ended_at=F("accepted_at"))
    before = GuestRequest.objects.get().ticket_id
    claim_by(Visitor(event))
    grant_claim(Claim.objects.get(), acting_user=make_staff())
    request = GuestRequest.objects.get()
    assert request.ticket_id != before
    assert request.name == "Marta Verdadeira"


# Time --------------------------------------------------------------------------------------------


def squat_without_a_place() -> Visitor:
    """Register, lose the place, and have a claim on the account whose email has left."""
    event = make_event()
    squatter_on(event)
    owner = Visitor(event)
    claim_by(owner)
    send_all()
    Event.objects.update(
        starts_at=F("list_opens_at"), ends_at=F("list_opens_at") + timedelta(minutes=1)
    )
    return owner


def let_a_day_pass() -> None:
    Claim.objects.update(created_at=F("created_at") - timedelta(days=1))
    Email.objects.update(sent_at=F("sent_at") - timedelta(days=1))


def test_a_squatter_without_a_place_gives_way_after_a_day() -> None:
    squat_without_a_place()
    assert grant_unanswered_claims() == 0
    Claim.objects.update(created_at=F("created_at") - timedelta(days=1))
    assert grant_unanswered_claims() == 0, "the email left just now"
    Email.objects.update(sent_at=F("sent_at") - timedelta(days=1))
    call_command("sweeper", "--once")
    account = User.objects.get(phone=PHONE)
    assert (account.email, account.verified_at) == (OWNER["email"], None)
    claim = Claim.objects.get()
    assert (claim.state, claim.decided_by) == ("granted", "time")
    assert claim.taken
    assert claim.taken["email"] == PERSON["email"]


def test_a_place_ahead_does_not_go_by_time() -> None:
    event = make_event()
    squatter_on(event)
    claim_by(Visitor(event))
    send_all()
    let_a_day_pass()
    before = held()
    assert grant_unanswered_claims() == 0
    assert held() == before


@pytest.mark.parametrize("what", ["objected", "proven", "untold", "rival", "staff"])
def test_what_keeps_an_account_from_giving_way(what: str) -> None:
    owner = squat_without_a_place()
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
            rival.send("claim", **OWNER)
        case "staff":
            User.objects.filter(phone=PHONE).update(is_staff=True)
    assert grant_unanswered_claims() == 0
    assert User.objects.get(phone=PHONE).email == PERSON["email"]
    assert state_in(owner.look()) == ""


def test_an_address_that_takes_no_email_does_not_hold_a_phone_for_ever() -> None:
    squat_without_a_place()
    let_a_day_pass()
    Email.objects.filter(kind="claim").update(state="bounced", sent_at=None)
    assert grant_unanswered_claims() == 1


# SMS ---------------------------------------------------------------------------------------------


def test_with_sms_a_code_to_the_phone_itself_settles_a_claim(settings: Settings) -> None:
    settings.SMS_BACKEND = "tests.accounts.test_sms.sent"
    event = make_event()
    squatter, owner = squatter_on(event), Visitor(event)
    stolen = Guest.objects.get().qr_token
    made = owner.get(location_of(claim_by(owner)))
    assert "by SMS" in html_of(made)
    code = LoginCode.objects.latest("pk")
    assert (code.channel, code.claim) == ("sms", Claim.objects.get())
    assert not Email.objects.filter(kind="login_code").exists()
    assert User.objects.get().email == PERSON["email"]
    owner.send("code", code=code.digits())
    account = User.objects.get()
    assert (account.email, bool(account.verified_at)) == (OWNER["email"], True)
    assert (Claim.objects.get().state, Claim.objects.get().decided_by) == ("granted", "phone")
    assert state_in(owner.look()) == "created"
    assert state_in(squatter.look()) == ""
    assert squatter.get(f"/guest/{stolen}").status_code == 404


def test_a_claim_whose_sms_was_not_sent_does_not_say_that_it_was(settings: Settings) -> None:
    settings.SMS_BACKEND, settings.LOGIN_CODES_PER_PHONE = "tests.accounts.test_sms.sent", 1
    event = make_event()
    squatter_on(event)
    owner = Visitor(event)
    made = html_of(owner.get(location_of(claim_by(owner))))
    assert "We sent a code" not in made
    assert "With a code by SMS" in made


def test_with_sms_a_second_code_belongs_to_the_claim_as_well(settings: Settings) -> None:
    settings.SMS_BACKEND = "tests.accounts.test_sms.sent"
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
    assert account.email == OWNER["email"]


def test_the_account_of_somebody_with_powers_never_changes_hands_by_itself(
    settings: Settings,
) -> None:
    settings.SMS_BACKEND = "tests.accounts.test_sms.sent"
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


def test_a_phone_that_sms_has_proven_sends_no_code_to_the_squatters_email(
    settings: Settings,
) -> None:
    settings.SMS_BACKEND = "tests.accounts.test_sms.sent"
    event = make_event()
    squatter, owner = squatter_on(event), Visitor(event)
    owner.give_phone()
    owner.send("code", code=LoginCode.objects.latest("pk").digits())
    assert state_in(owner.look()) == "created"
    assert state_in(squatter.look()) == ""
    squatter.give_phone()
    assert LoginCode.objects.latest("pk").channel == "sms"
    assert not Email.objects.filter(kind="login_code").exists()


# One's own proof ---------------------------------------------------------------------------------


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


def test_the_first_proof_elsewhere_takes_the_ticket_that_is_still_processing_away() -> None:
    event = make_event()
    squatter_on(event, htmx=True)
    before = GuestRequest.objects.get().ticket_id
    owner = Visitor(event)
    owner.give_phone()
    ticket_url = location_of(owner.type_code(User.objects.get()))
    assert GuestRequest.objects.get().ticket_id != before
    assert str(before) not in ticket_url
    assert state_in(owner.get(ticket_url)) == "created"


def test_a_squatter_who_gave_the_owners_own_email_is_out_once_the_owner_signs_in() -> None:
    event = make_event()
    squatter, owner = squatter_on(event), Visitor(event)
    send_all()
    assert "Inês Exemplo" in html_of(owner.get(link_in("qr_code", PERSON["email"])))
    assert state_in(squatter.look()) == "created"
    owner.give_phone()
    owner.type_code(User.objects.get())
    assert state_in(squatter.look()) == ""
    assert state_in(owner.look()) == "created"


def test_only_the_first_code_after_a_link_ends_sessions() -> None:
    event = make_event()
    visitor = squatter_on(event)
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


def test_the_link_in_the_welcome_email_proves_the_email_and_signs_nobody_in() -> None:
    event = make_event(requires_proof=True)
    visitor = squatter_on(event)
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
    squatter_on(make_event())
    send_all()
    links = [link_in(kind, PERSON["email"]) for kind in ("welcome", "qr_code")]
    User.objects.update(email="corrected@example.org")
    assert Client().get(links[0]).status_code == 404
    assert PERSON["first_name"] not in html_of(Client().get(links[1]))
    assert User.objects.get().verified_at is None


def test_an_email_queued_for_an_earlier_address_brings_no_link_to_it() -> None:
    squatter_on(make_event())
    User.objects.update(email="corrected@example.org")
    send_all()
    assert set(Email.objects.values_list("state", flat=True)) == {"cancelled"}


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


def test_a_granted_claim_sends_no_qr_code_where_a_proof_is_asked_for() -> None:
    event = make_event(requires_proof=True)
    squatter_on(event)
    claim_by(Visitor(event))
    grant_claim(Claim.objects.get(), acting_user=make_staff())
    assert not Email.objects.filter(kind="qr_code").exists()


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
