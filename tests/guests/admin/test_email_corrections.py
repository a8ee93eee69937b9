"""Staff correct the address of a guest, and everything is sent there in the same step."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import EmailChange, User
from guests.models import Event, Guest, StaffAction
from notifications.models import Email
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.emails import send_all
from tests.helpers.list_messages import sent_message
from tests.helpers.visitors import html_of

pytestmark = pytest.mark.django_db

TYPO, RIGHT = "maria@gmial.com", "maria@gmail.com"
MAY = ("view_guest", "change_guest", "view_user", "change_user")


@pytest.fixture
def staff() -> Client:
    return admin_client(staff_with(*MAY))


@pytest.fixture
def bounced() -> Guest:
    """A guest whose emails have bounced: the QR code, and a message to the list."""
    guest = make_guest(account=make_account(email=TYPO, language="en"))
    sent_message(guest.event, make_staff())
    Email.objects.filter(to=TYPO).update(state="bounced", bounced_at=timezone.now())
    return guest


def page_of(guest: Guest) -> str:
    return admin_url("guests_guest_do", guest.pk, "correct-email")


def correct(staff: Client, guest: Guest, email: str = RIGHT) -> str:
    return html_of(staff.post(page_of(guest), {"email": email}, follow=True))


def test_one_step_corrects_the_address_and_sends_everything(staff: Client, bounced: Guest) -> None:
    page = html_of(staff.get(admin_url("guests_guest_change", bounced.pk)))
    assert f"Emails to {TYPO} do not arrive." in page
    assert page_of(bounced) in page
    assert TYPO in html_of(staff.get(page_of(bounced)))
    assert "on their way" in correct(staff, bounced)
    account = User.objects.get(pk=bounced.account_id)
    assert (account.email, account.verified_at) == (RIGHT, None)
    send_all()
    sent = Email.objects.filter(to=RIGHT, state="sent").values_list("kind", flat=True)
    assert sorted(sent) == ["email_changed", "list_message", "qr_code"]
    assert {tuple(message.to) for message in mail.outbox} == {(RIGHT,)}
    page = html_of(staff.get(admin_url("guests_guest_change", bounced.pk)))
    assert "do not arrive" not in page


def test_the_history_says_who_corrected_what(staff: Client, bounced: Guest) -> None:
    correct(staff, bounced)
    action = StaffAction.objects.get(kind="corrected")
    assert (action.guest, action.detail) == (bounced, f"{TYPO} → {RIGHT}")
    change = EmailChange.objects.get()
    assert (change.from_email, change.to_email, change.proof) == (TYPO, RIGHT, "staff")
    assert str(LogEntry.objects.get().change_message) == "Correct the email and send again"
    page = html_of(staff.get(admin_url("guests_guest_change", bounced.pk)))
    assert f"{TYPO} → {RIGHT}" in page


def test_a_code_that_may_be_in_another_mailbox_is_replaced(staff: Client) -> None:
    guest = make_guest(account=make_account(email=TYPO))
    send_all()
    token = guest.qr_token
    correct(staff, guest)
    guest.refresh_from_db()
    assert guest.qr_token not in {token, None}


def test_the_browser_that_registered_may_still_correct_it(staff: Client, bounced: Guest) -> None:
    browser = "b" * 32
    User.objects.filter(pk=bounced.account_id).update(browser=browser, ended_sessions=["x"])
    correct(staff, bounced)
    account = User.objects.get(pk=bounced.account_id)
    assert (account.browser, account.ended_sessions) == (browser, ["x"])


def test_the_emails_do_not_count_as_those_of_strangers(staff: Client, bounced: Guest) -> None:
    correct(staff, bounced)
    assert not Email.objects.filter(to=RIGHT, by_stranger=True).exists()


@pytest.mark.parametrize("email", [TYPO, "", "maria", "taken@example.com"])
def test_an_address_that_cannot_be_is_refused(
    email: str, staff: Client, bounced: Guest, settings: Settings
) -> None:
    settings.ACCOUNTS_PER_EMAIL = 1
    make_account(email="taken@example.com", verified_at=timezone.now())
    page = correct(staff, bounced, email)
    assert "errornote" in page or "errorlist" in page
    assert User.objects.get(pk=bounced.account_id).email == TYPO
    assert not EmailChange.objects.exists()


def test_only_a_superuser_changes_the_email_of_staff(staff: Client) -> None:
    guest = make_guest(account=make_staff(email=TYPO))
    assert "errornote" in correct(staff, guest)
    guest.account.refresh_from_db()
    assert guest.account.email == TYPO


@pytest.mark.parametrize("missing", ["change_guest", "change_user"])
def test_both_permissions_are_needed(missing: str, bounced: Guest) -> None:
    client = admin_client(staff_with(*(name for name in MAY if name != missing)))
    assert client.get(page_of(bounced)).status_code == 403
    assert client.post(page_of(bounced), {"email": RIGHT}).status_code == 403
    page = html_of(client.get(admin_url("guests_guest_change", bounced.pk)))
    assert page_of(bounced) not in page.partition("object-tools")[2].partition("</ul>")[0]


def test_a_guest_of_a_past_event_is_corrected_too(staff: Client) -> None:
    event = make_event()
    guest = make_guest(event, make_account(email=TYPO))
    past = timezone.now() - timedelta(hours=1)
    Event.objects.filter(pk=event.pk).update(starts_at=past - timedelta(hours=1), ends_at=past)
    assert "on their way" in correct(staff, guest)
    assert User.objects.get(pk=guest.account_id).email == RIGHT
