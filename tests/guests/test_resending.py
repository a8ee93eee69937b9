"""Sending emails again: to the present address, any kind, and what staff hear of it."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend as LocmemBackend
from django.db import connection
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from accounts.models import BlockedPhone, User
from guests.models import Event, Guest
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email, EmailResend
from notifications.resending import Resend, resend_email
from tests.factories import make_account, make_event, make_guest
from tests.helpers.emails import send_all
from tests.helpers.guards import at_once

pytestmark = pytest.mark.django_db

ACTOR = "account:1"


def send_again(guest: Guest, kind: str = "qr_code") -> Resend:
    guest.refresh_from_db()
    return resend_email(kind, f"guest:{guest.pk}/{guest.listings}", actor=ACTOR)


def pass_time(seconds: float = 61) -> None:
    """Let everything that was queued and sent again be that much older."""
    by = timedelta(seconds=seconds)
    Email.objects.update(queued_at=F("queued_at") - by)
    EmailResend.objects.update(at=F("at") - by)


@pytest.mark.parametrize("state", Email.State.values)
def test_whatever_its_state_an_email_goes_to_the_present_address(guest: Guest, state: str) -> None:
    email = Email.objects.get(kind="qr_code")
    old = email.to
    Email.objects.update(state=state, error="550", provider_id="old", language="pt-pt")
    User.objects.filter(pk=guest.account_id).update(email="certa@example.com", language="en")
    resend = send_again(guest)
    assert (resend.to, resend.refusal) == ("certa@example.com", "")
    email.refresh_from_db()
    assert (email.to, email.state, email.error) == ("certa@example.com", "queued", "")
    # Reports about the earlier message must not change this one.
    assert (email.provider_id, email.language) == ("", "en")
    kept = EmailResend.objects.get()
    assert (kept.actor, kept.from_state, kept.from_to) == (ACTOR, state, old)
    send_all()
    (message,) = [each for each in mail.outbox if each.to == ["certa@example.com"]]
    assert message.subject


@pytest.mark.parametrize("kind", ["waitlisted", "welcome"])
def test_other_kinds_go_to_the_present_address(kind: str) -> None:
    event = make_event(capacity=0)
    account = make_account()
    guest = make_guest(event, account)
    cause = f"guest:{guest.pk}/0" if kind == "waitlisted" else f"account:{account.pk}"
    User.objects.filter(pk=account.pk).update(email="certa@example.com")
    assert resend_email(kind, cause, actor=ACTOR).refusal == ""
    send_all()
    assert ["certa@example.com"] in [message.to for message in mail.outbox]


def test_an_email_that_was_never_queued_is_made(db: None) -> None:
    account = make_account(email="")
    guest = make_guest(account=account)
    assert send_again(guest).refusal == "no_email"
    assert not Email.objects.exists()
    User.objects.filter(pk=account.pk).update(email="nova@example.com")
    assert send_again(guest).refusal == ""
    send_all()
    assert ["nova@example.com"] in [message.to for message in mail.outbox]


def test_an_email_of_a_later_release_is_left_alone(guest: Guest) -> None:
    """After a rollback, its kind is unknown. The emails beside it are sent all the same."""
    resend = resend_email("news", f"guest:{guest.pk}/1", actor=ACTOR, to="rita@example.com")
    assert (resend.to, resend.refusal) == ("rita@example.com", "unknown_kind")
    assert resend.reason
    assert not EmailResend.objects.exists()


def cancel(guest: Guest, staff: User) -> None:
    cancel_guests(guest.event_id, [guest.pk], acting_user=staff)


def test_each_reason_against_it_has_a_code_and_a_sentence(manager: User) -> None:
    events, now = Event.objects, timezone.now()
    cases: dict[str, Callable[[Guest], object]] = {
        "no_email": lambda g: User.objects.filter(pk=g.account_id).update(email=""),
        "inactive": lambda g: User.objects.filter(pk=g.account_id).update(is_active=False),
        "blocked": lambda g: BlockedPhone.objects.create(phone=g.phone or "", reason="test"),
        "cancelled": lambda g: cancel(g, manager),
        "event_cancelled": lambda g: events.filter(pk=g.event_id).update(cancelled_at=now),
        "event_over": lambda g: events.filter(pk=g.event_id).update(
            starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1)
        ),
        "unproven": lambda g: events.filter(pk=g.event_id).update(requires_proof=True),
    }
    for code, change in cases.items():
        guest = make_guest()
        pass_time()
        change(guest)
        before = Email.objects.filter(cause__startswith=f"guest:{guest.pk}/").values().get()
        resend = send_again(guest)
        assert resend.refusal == code
        assert resend.reason != code
        # Nothing was changed.
        assert Email.objects.filter(pk=before["id"]).values().get() == before
    assert not EmailResend.objects.exists()


def test_an_email_about_an_earlier_place_points_to_the_guest(guest: Guest) -> None:
    pass_time()
    Guest.objects.update(listings=2)
    assert resend_email("qr_code", f"guest:{guest.pk}/1", actor=ACTOR).refusal == "outdated"
    assert resend_email("qr_code", "guest:999999/1", actor=ACTOR).refusal == "gone"


def test_the_same_address_gets_it_once_a_minute(guest: Guest) -> None:
    assert send_again(guest).refusal == "on_its_way"
    send_all()
    assert send_again(guest).refusal == "just_sent"
    pass_time()
    assert send_again(guest).refusal == ""
    send_all()
    assert send_again(guest).refusal == "just_sent"
    # A corrected address does not have to wait.
    User.objects.update(email="certa@example.com")
    assert send_again(guest).refusal == ""
    assert EmailResend.objects.count() == 2


def test_a_recipient_gets_a_number_of_them_in_an_hour(guest: Guest, settings: Settings) -> None:
    settings.RESENDS_PER_RECIPIENT = 2
    for expected in ("", "", "too_many"):
        pass_time()
        send_all()
        assert send_again(guest).refusal == expected
    pass_time(3600)
    assert send_again(guest).refusal == ""


@pytest.mark.django_db(transaction=True)
def test_a_double_click_queues_one() -> None:
    guest = make_guest()
    pass_time()
    Email.objects.update(state="sent")
    results = at_once([lambda: send_again(guest).refusal] * 3)
    assert sorted(results) == ["", "on_its_way", "on_its_way"]
    assert EmailResend.objects.count() == 1


class CorrectedMeanwhile(LocmemBackend):
    """A mail provider. While it takes the first message, staff correct the address and resend."""

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        try:
            if not EmailResend.objects.exists():
                User.objects.update(email="certa@example.com")
                assert send_again(Guest.objects.get()).refusal == ""
        finally:
            # The thread that sends has a connection of its own.
            connection.close()
        return super().send_messages(messages)


@pytest.mark.django_db(transaction=True)
def test_a_message_that_is_being_sent_does_not_stand_in_for_the_new_one(
    guest: Guest, settings: Settings
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.CorrectedMeanwhile"
    old = guest.account.email
    send_all()
    assert [message.to for message in mail.outbox] == [[old], ["certa@example.com"]]
    assert Email.objects.get().state == "sent"
