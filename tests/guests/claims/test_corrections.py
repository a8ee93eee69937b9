"""A corrected email: who may correct it, and what follows for places, codes and emails."""

from datetime import timedelta
from functools import partial

import pytest
from django.core import mail
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from accounts.email_changes import change_email
from accounts.exceptions import AccountError
from accounts.login_codes import send_login_code
from accounts.models import EmailChange, LoginCode, User
from guests.claims.corrections import correct_email, correct_email_by_code
from guests.models import Event, Guest
from guests.requests.event_changes import cancel_event, reinstate_event
from notifications.models import Email
from notifications.resending import resend_email
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.emails import link_in, send_all
from tests.helpers.guards import at_once

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

BROWSER = "a" * 32
TYPO, RIGHT = "maria@gmial.com", "maria@gmail.com"


def new_account(**fields: object) -> User:
    return make_account(email=TYPO, browser=BROWSER, **fields)


def proven_account(proof: str = "email") -> User:
    account = new_account()
    User.objects.filter(pk=account.pk).update(verified_at=timezone.now(), proven_by=proof)
    return User.objects.get(pk=account.pk)


def read(guest: Guest) -> Guest:
    return Guest.objects.select_related("event", "account").get(pk=guest.pk)


def emails_to(address: str) -> list[str]:
    return sorted(Email.objects.filter(to=address).values_list("kind", flat=True))


def code_for(account: User) -> str:
    return send_login_code(account, browser=BROWSER, address="192.0.2.1").digits()


def correct_by_code(account: User, email: str, typed: str) -> User:
    return correct_email_by_code(account, email, browser=BROWSER, typed=typed, address="192.0.2.1")


def refusal(account: User, email: str, browser: str = BROWSER) -> str:
    with pytest.raises(AccountError) as error:
        correct_email(account, email, browser=browser)
    return error.value.code


# Who may correct it -------------------------------------------------------------------------------


def test_the_browser_that_registered_corrects_an_unproven_account() -> None:
    account = new_account()
    correct_email(account, RIGHT, browser=BROWSER)
    account.refresh_from_db()
    assert (account.email, account.email_key) == (RIGHT, RIGHT)
    assert account.verified_at is None
    change = EmailChange.objects.get()
    assert (change.from_email, change.to_email, change.proof) == (TYPO, RIGHT, "browser")


def test_another_browser_needs_a_proof() -> None:
    account = new_account()
    assert refusal(account, RIGHT, "b" * 32) == "needs_proof"
    assert refusal(account, RIGHT, "") == "needs_proof"


@pytest.mark.parametrize("proof", ["link", "email", "sms"])
def test_a_proven_account_needs_a_proof_in_its_own_browser_too(proof: str) -> None:
    account = proven_account(proof)
    assert refusal(account, RIGHT) == "needs_proof"
    assert User.objects.get(pk=account.pk).email == TYPO


def test_a_code_to_the_present_email_changes_it() -> None:
    account = proven_account()
    changed = correct_by_code(account, RIGHT, code_for(account))
    assert changed.email == RIGHT
    assert changed.verified_at is None
    # The new email was only typed. This browser corrects it, if it is wrong too.
    correct_email(changed, "m@example.com", browser=BROWSER)


def test_a_wrong_code_changes_nothing() -> None:
    account = proven_account()
    digits = code_for(account)
    with pytest.raises(AccountError, match="wrong_code"):
        correct_by_code(account, RIGHT, f"{(int(digits) + 1) % 1_000_000:06}")
    assert User.objects.get(pk=account.pk).email == TYPO


def test_a_refused_change_does_not_use_up_the_code(settings: Settings) -> None:
    settings.ACCOUNTS_PER_EMAIL = 1
    make_account(email=RIGHT)
    account = proven_account()
    digits = code_for(account)
    with pytest.raises(AccountError, match="email_taken"):
        correct_by_code(account, RIGHT, digits)
    assert correct_by_code(account, "m@example.com", digits).email == "m@example.com"


def test_a_proof_of_the_phone_stays() -> None:
    account = proven_account("sms")
    assert correct_by_code(account, RIGHT, code_for(account)).proven_by == "sms"


def test_an_earlier_code_and_an_earlier_link_end() -> None:
    account = new_account()
    send_login_code(account, browser="b" * 32, address="192.0.2.1")
    correct_email(account, RIGHT, browser=BROWSER)
    assert not LoginCode.objects.usable().exists()


@pytest.mark.parametrize("email", [TYPO, RIGHT])
def test_limits_of_a_change(settings: Settings, email: str) -> None:
    settings.ACCOUNTS_PER_EMAIL = 1
    make_account(email=RIGHT)
    expected = {TYPO: "same_email", RIGHT: "email_taken"}
    assert refusal(new_account(), email) == expected[email]


def test_changes_a_day_are_limited(settings: Settings) -> None:
    settings.EMAIL_CHANGES_A_DAY = 2
    account = new_account()
    for number in range(2):
        correct_email(account, f"m{number}@example.com", browser=BROWSER)
    assert refusal(account, RIGHT) == "too_many_changes"
    EmailChange.objects.update(at=Now() - timedelta(days=1, seconds=1))
    correct_email(account, RIGHT, browser=BROWSER)


def test_a_blocked_account_changes_nothing() -> None:
    account = new_account(is_active=False)
    assert refusal(account, RIGHT) == "refused"


def test_an_account_with_rights_in_admin_is_changed_by_a_superuser_only() -> None:
    assert refusal(new_account(is_staff=True), RIGHT) == "refused"


# Emails and codes ---------------------------------------------------------------------------------


def test_the_new_address_gets_a_proof_link_and_the_qr_code() -> None:
    guest = make_guest(account=new_account())
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert emails_to(RIGHT) == ["email_changed", "qr_code"]
    send_all()
    assert [message.to for message in mail.outbox] == [[RIGHT], [RIGHT]]
    assert link_in("qr_code", RIGHT)


def test_a_code_that_went_to_the_wrong_address_no_longer_works() -> None:
    guest = make_guest(account=new_account())
    send_all()
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert read(guest).qr_token not in {None, guest.qr_token}


@pytest.mark.parametrize("state", ["queued", "bounced", "cancelled", "dead"])
def test_a_code_that_nobody_received_stays(state: str) -> None:
    guest = make_guest(account=new_account())
    Email.objects.filter(kind="qr_code").update(state=state)
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert read(guest).qr_token == guest.qr_token


def test_an_email_that_is_being_sent_counts_as_sent() -> None:
    guest = make_guest(account=new_account())
    Email.objects.filter(kind="qr_code").update(leased_until=Now() + timedelta(minutes=1))
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert read(guest).qr_token != guest.qr_token


@pytest.mark.parametrize("state", ["queued", "cancelled", "dead"])
def test_an_email_that_was_sent_and_queued_again_counts_as_sent(state: str) -> None:
    guest = make_guest(account=new_account())
    send_all()
    Email.objects.filter(kind="qr_code").update(state=state)
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert read(guest).qr_token != guest.qr_token


@pytest.mark.parametrize("state", ["queued", "bounced"])
def test_an_email_that_staff_sent_again_counts_as_sent(state: str) -> None:
    guest = make_guest(account=new_account())
    send_all()
    Email.objects.update(queued_at=Now() - timedelta(minutes=5))
    assert not resend_email("qr_code", f"guest:{guest.pk}/1", actor="account:1").refusal
    Email.objects.filter(kind="qr_code").update(state=state)
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert read(guest).qr_token != guest.qr_token


def test_an_email_whose_sending_broke_off_counts_as_sent() -> None:
    guest = make_guest(account=new_account())
    Email.objects.filter(kind="qr_code").update(error="SMTPServerDisconnected")
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert read(guest).qr_token != guest.qr_token


@committed
def test_a_reinstated_event_sends_its_code_to_the_new_address() -> None:
    guest, staff = make_guest(account=new_account()), make_staff()
    send_all()
    cancel_event(guest.event, acting_user=staff)
    correct_email(guest.account, RIGHT, browser=BROWSER)
    send_all()
    assert emails_to(RIGHT) == ["email_changed", "qr_code"]
    assert not Email.objects.filter(kind="qr_code", to=RIGHT, state="sent").exists()
    reinstate_event(guest.event, acting_user=staff)
    send_all()
    assert Email.objects.get(kind="qr_code", to=RIGHT).state == "sent"
    assert read(guest).qr_token != guest.qr_token


def test_a_code_in_a_proven_mailbox_stays_and_that_mailbox_hears_of_the_change() -> None:
    guest = make_guest(account=proven_account())
    send_all()
    correct_by_code(guest.account, RIGHT, code_for(guest.account))
    send_all()
    assert read(guest).qr_token == guest.qr_token
    assert emails_to(RIGHT) == ["email_changed", "qr_code"]
    old = Email.objects.get(kind="email_changed", to=TYPO)
    assert old.state == "sent"
    (notice,) = (each for each in mail.outbox if each.to == [TYPO] and "•••" in str(each.body))
    assert "m•••@gmail.com" in str(notice.body)


def test_a_place_in_the_waiting_list_is_announced_to_the_new_address() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    guest = make_guest(event, new_account())
    correct_email(guest.account, RIGHT, browser=BROWSER)
    send_all()
    assert emails_to(RIGHT) == ["email_changed", "waitlisted"]
    assert not any(message.to == [TYPO] for message in mail.outbox)


def test_places_that_are_history_send_nothing() -> None:
    account, now = new_account(), timezone.now()
    over, used = (make_guest(account=account) for _ in range(2))
    Event.objects.filter(pk=over.event_id).update(
        starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1)
    )
    Guest.objects.filter(pk=used.pk).update(checked_in_at=now)
    correct_email(account, RIGHT, browser=BROWSER)
    assert emails_to(RIGHT) == ["email_changed"]


def test_a_withheld_code_is_not_sent_before_the_proof() -> None:
    guest = make_guest(make_event(requires_proof=True), new_account())
    correct_email(guest.account, RIGHT, browser=BROWSER)
    assert emails_to(RIGHT) == ["email_changed"]


def test_nobody_fills_a_mailbox_with_corrections(settings: Settings) -> None:
    settings.EMAILS_PER_RECIPIENT = 3
    for _ in range(3):
        guest = make_guest(account=new_account())
        correct_email(guest.account, RIGHT, browser=BROWSER)
    assert Email.objects.filter(to=RIGHT, state="queued").count() == 3


# Races --------------------------------------------------------------------------------------------


@committed
def test_two_corrections_at_once_are_one_after_the_other() -> None:
    guest = make_guest(account=new_account())
    addresses = ["a@example.com", "b@example.com"]
    correct = partial(correct_email, guest.account, browser=BROWSER)
    at_once([partial(correct, address) for address in addresses])
    account = User.objects.get()
    send_all()
    qr_code = Email.objects.get(kind="qr_code", state="sent")
    assert qr_code.to == account.email
    assert read(guest).listings == 3


@committed
def test_a_correction_while_the_email_is_sent_leaves_one_code_that_works() -> None:
    guest = make_guest(account=new_account())
    at_once([send_all, lambda: correct_email(guest.account, RIGHT, browser=BROWSER)])
    send_all()
    sent_to_typo = Email.objects.filter(to=TYPO, kind="qr_code", state="sent").exists()
    assert (read(guest).qr_token != guest.qr_token) == sent_to_typo
    assert Email.objects.get(kind="qr_code", to=RIGHT).state == "sent"


def test_the_caller_of_a_change_sees_the_account_as_it_is() -> None:
    account = proven_account()
    change_email(account, RIGHT, browser=BROWSER, proof="code")
    assert account.verified_at is None
