"""An attacker fills the mailbox of an unproven account, whose owner must still sign in."""

from datetime import timedelta
from math import ceil

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Claim, LoginCode, User
from guests.models import Event
from notifications.models import Email
from tests.factories import make_event
from tests.helpers.api import LOGIN, REGISTER
from tests.helpers.challenges import solve_and_follow
from tests.helpers.codes import seconds_shown, sign_out
from tests.helpers.visitors import PERSON, PHONE, Visitor, html_of, location_of, state_in

pytestmark = pytest.mark.django_db

VICTIM = PERSON["email"]


@pytest.fixture(autouse=True)
def _as_in_production(settings: Settings) -> None:
    settings.ACCOUNTS_PER_EMAIL, settings.EMAILS_PER_RECIPIENT = 3, 10
    settings.CHALLENGE_COST = 1


@pytest.fixture
def event() -> Event:
    return make_event()


def owner_of(event: Event, typed: str = PHONE) -> Visitor:
    """Return a browser in which the owner has registered and signed out."""
    owner = Visitor(event)
    owner.give_phone(typed)
    owner.register()
    sign_out(owner)
    return owner


def register_other_phone(number: int, email: str = VICTIM) -> tuple[Client, str]:
    """Register another phone with the victim's email, from a new browser."""
    browser, phone = Client(), f"+351962{number:06}"
    body = {"phone": phone, "firstName": "Rui", "lastName": "Mau", "email": email}
    assert browser.post(REGISTER, body, "application/json").status_code == 201
    return browser, phone


def ask_by_api(browser: Client, phone: str) -> int:
    return browser.post(LOGIN, {"phone": phone}, "application/json").status_code


def strangers_ask_and_solve(event: Event, times: int, phone: str = PHONE) -> None:
    """Ask for codes from new browsers at many addresses, and solve their challenges."""
    for number in range(times):
        stranger = Visitor(event)
        stranger.browser.defaults["REMOTE_ADDR"] = f"198.51.{number % 200}.7"
        refused = stranger.give_phone(phone)
        if refused.status_code == 429 and 'data-challenge="' in html_of(refused):
            solve_and_follow(stranger.browser, refused)


def fill_mailbox() -> None:
    """Cause ten emails by two accounts with the victim's email."""
    phones = [register_other_phone(number)[1] for number in range(2)]
    for _ in range(4):
        for phone in phones:
            assert ask_by_api(Client(), phone) == 202
    assert ask_by_api(Client(), phones[0]) == 429


def emails_caused() -> int:
    """Count the emails to the victim that registrations and codes have emails_caused."""
    emails = Email.objects.filter(to=VICTIM, kind__in=["welcome", "login_code"])
    return emails.exclude(state="cancelled").count()


def let_minutes_pass(minutes: int) -> None:
    passed = timedelta(minutes=minutes)
    for model in (LoginCode, Email):
        model.objects.update(created_at=F("created_at") - passed)


# Browsers that the owner has used -----------------------------------------------------------------


def test_strangers_do_not_keep_the_browser_that_registered_from_signing_in(event: Event) -> None:
    owner = owner_of(event)
    strangers_ask_and_solve(event, 12)
    let_minutes_pass(9)
    strangers_ask_and_solve(event, 12)
    assert location_of(owner.give_phone()) == owner.step_url("code")
    assert Email.objects.filter(kind="login_code").latest("pk").state == "queued"
    assert "/ticket/" in location_of(owner.type_code(User.objects.get()))


def test_registrations_with_the_owners_email_do_not_keep_the_owner_out(event: Event) -> None:
    owner = owner_of(event)
    phones = [register_other_phone(number)[1] for number in range(2)]
    responses = [ask_by_api(Client(), phone) for _ in range(5) for phone in phones]
    assert responses == [202] * 7 + [429] * 3
    owner.give_phone()
    assert "/ticket/" in location_of(owner.type_code(User.objects.get(phone=PHONE)))


def test_an_owner_with_a_full_mailbox_can_prove_and_get_the_qr_code() -> None:
    event = make_event(requires_proof=True)
    fill_mailbox()
    visitor = Visitor(event)
    visitor.give_phone()
    visitor.register()
    assert Email.objects.filter(kind="welcome").latest("pk").state == "cancelled"
    assert state_in(visitor.look()) == "unproven"
    visitor.open("prove")
    assert location_of(visitor.send("prove")) == visitor.step_url("code")
    ticket_url = location_of(visitor.type_code(User.objects.get(phone=PHONE)))
    assert state_in(visitor.get(ticket_url)) == "created"


# New browsers -------------------------------------------------------------------------------------


def test_a_new_browser_solves_a_challenge_and_the_code_is_sent(event: Event) -> None:
    owner_of(event)
    let_minutes_pass(61)
    fill_mailbox()
    elsewhere = Visitor(event)
    refused = elsewhere.give_phone()
    assert (refused.status_code, 'data-challenge="' in html_of(refused)) == (429, True)
    elsewhere.remember(solve_and_follow(elsewhere.browser, refused))
    assert Email.objects.filter(kind="login_code").latest("pk").state == "queued"
    assert "/ticket/" in location_of(elsewhere.type_code(User.objects.get(phone=PHONE)))


@pytest.mark.slow
def test_the_page_says_how_long_a_mailbox_stays_full(event: Event) -> None:
    owner_of(event)
    let_minutes_pass(5)
    strangers_ask_and_solve(event, 10)
    let_minutes_pass(12)
    strangers_ask_and_solve(event, 10)
    assert emails_caused() == 20
    let_minutes_pass(12)
    late = Visitor(event)
    looks = [seconds_shown(late.give_phone()) for _ in range(2)]
    oldest = Email.objects.earliest("created_at").created_at
    truth = ceil((oldest + timedelta(hours=1) - timezone.now()).total_seconds())
    assert all(truth <= look <= truth + 1 for look in looks), (looks, truth)
    Email.objects.update(created_at=F("created_at") - timedelta(seconds=truth))
    refused = late.give_phone()
    assert 'data-challenge="' in html_of(refused)
    assert solve_and_follow(late.browser, refused).status_code == 303


# Limits of a mailbox ------------------------------------------------------------------------------


@pytest.mark.slow
def test_three_registrations_with_a_victims_email_do_not_fill_the_mailbox() -> None:
    """A browser that registered an account may cause three more codes an hour for it."""
    others = [register_other_phone(number) for number in range(3)]
    for _ in range(5):
        for _ in range(5):
            for browser, phone in others:
                ask_by_api(browser, phone)
                ask_by_api(Client(), phone)
        let_minutes_pass(11)
    assert emails_caused() == 10 + 9


@pytest.mark.slow
def test_challenges_double_the_emails_that_strangers_cause(event: Event) -> None:
    owner_of(event)
    for _ in range(4):
        strangers_ask_and_solve(event, 12)
        let_minutes_pass(11)
    assert emails_caused() == 20


def test_codes_of_an_hour_ago_no_longer_count(event: Event) -> None:
    owner = owner_of(event)
    let_minutes_pass(61)
    fill_mailbox()
    assert [owner.give_phone().status_code for _ in range(4)] == [303, 303, 303, 429]
    let_minutes_pass(50)
    looked = owner.give_phone()
    assert 590 <= int(looked["Retry-After"]) <= 600
    let_minutes_pass(10)
    assert owner.give_phone().status_code == 303


# Claims past the limits ---------------------------------------------------------------------------


def test_a_squatter_who_uses_up_the_codes_cannot_keep_the_owner_from_claiming(
    event: Event,
) -> None:
    squatter = Visitor(event)
    squatter.give_phone()
    squatter.register(email="mau@example.net")
    sign_out(squatter)
    strangers_ask_and_solve(event, 12)
    owner = Visitor(event)
    refused = owner.give_phone()
    assert (refused.status_code, 'data-challenge="' in html_of(refused)) == (429, False)
    assert "Somebody else has my number" in html_of(refused)
    assert owner.open("claim").status_code == 200
    assert "/claim/" in location_of(owner.send("claim", **PERSON))
    assert Claim.objects.get().account.phone == PHONE
    assert Email.objects.filter(kind="claim", to="mau@example.net", state="queued").exists()


def test_a_claim_needs_the_phone_step_first(event: Event) -> None:
    owner_of(event)
    thief = Visitor(event)
    assert location_of(thief.open("claim")) == thief.step_url("phone")
    assert location_of(thief.send("claim", **PERSON)) == thief.step_url("phone")
    assert not Claim.objects.exists()
