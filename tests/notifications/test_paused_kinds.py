"""Emails of a kind that staff have turned off wait, and go out when it is on again."""

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import LoginCode
from guests.admin.email_previews import refuse_test
from guests.models import Guest
from notifications.kinds import is_paused
from notifications.models import Email, EmailResend
from notifications.reports import Report, ReportKind, record_reports
from notifications.sending import send_due_emails
from notifications.tracking import tracks_opens
from snap.control import snapshot
from snap.control.snapshot import Snapshot
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.emails_of_kinds import CAUSES, queue_email_of
from tests.helpers.example_emails import queue_note
from tests.helpers.mail_providers.choice import Choose
from tests.helpers.mail_providers.http_server import HTTPProvider
from tests.helpers.mail_servers import BreakingSink, Sink, send_to
from tests.helpers.switches import turn_off, turn_on

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]


def send_all() -> None:
    while send_due_emails():
        pass


def state_of(email: Email) -> tuple[str, int]:
    found = Email.objects.get(pk=email.pk)
    return found.state, found.attempts


@pytest.mark.parametrize("kind", sorted(CAUSES))
def test_each_kind_waits_while_it_is_off_and_goes_out_when_it_is_on_again(
    sink: Sink, kind: str
) -> None:
    turn_off(f"emails_{kind}")
    email = queue_email_of(kind)
    send_all()
    call_command("sweeper", once=True)
    assert state_of(email) == ("queued", 0)
    assert not sink.messages
    turn_on(f"emails_{kind}")
    send_all()
    assert state_of(email) == ("sent", 0)
    assert len(sink.messages) == 1


def test_other_kinds_go_out_meanwhile(sink: Sink) -> None:
    turn_off("emails_welcome")
    welcome = queue_email_of("welcome")
    note = queue_note("other")
    send_all()
    assert (state_of(welcome)[0], state_of(note)[0]) == ("queued", "sent")
    assert is_paused("welcome")
    assert not is_paused("note")


def test_a_code_that_has_expired_meanwhile_is_cancelled(sink: Sink) -> None:
    turn_off("emails_login_code")
    email = queue_email_of("login_code")
    LoginCode.objects.update(expires_at=Now())
    turn_on("emails_login_code")
    send_all()
    assert state_of(email)[0] == "cancelled"
    assert not sink.messages


def pause_notes() -> None:
    """Turn the kind off as the thread of this process would see it."""
    snapshot._Process.snapshot = Snapshot({"emails_note": False})


def test_a_claimed_email_is_not_handed_over_after_its_kind_was_turned_off(
    settings: Settings,
) -> None:
    """A batch takes seconds: what is wrong with an email must not reach all of its recipients."""
    for number in range(60):
        queue_note(f"cause {number}")
    pausing = BreakingSink()
    pausing.on_data = pause_notes
    send_to(settings, pausing)
    pausing.start()
    try:
        send_due_emails()
    finally:
        pausing.stop()
    sent = Email.objects.filter(state="sent").count()
    assert 0 < sent < 60
    waiting = Email.objects.filter(state="queued")
    assert waiting.count() == 60 - sent
    assert set(waiting.values_list("attempts", "leased_until")) == {(0, None)}


def test_staff_read_why_an_email_waits() -> None:
    turn_off("emails_welcome")
    email = queue_email_of("welcome")
    admin: Client = admin_client(staff_with("view_email"))
    page = admin.get(admin_url("notifications_email_change", email.pk)).content.decode()
    assert "This kind of email is turned off by a switch: it waits." in page


def test_staff_who_send_an_email_again_read_that_it_waits(guest: Guest) -> None:
    admin = admin_client(staff_with("view_guest", "change_guest"))

    def send_again() -> str:
        EmailResend.objects.all().delete()
        Email.objects.update(state="dead")
        url = admin_url("guests_guest_changelist")
        form = {"action": "send_email_again", "_selected_action": guest.pk}
        return admin.post(url, form, follow=True).content.decode()

    assert "turned off by a switch" not in send_again()
    turn_off("emails_qr_code")
    assert "This kind of email is turned off by a switch: it waits." in send_again()


def test_staff_get_no_test_of_a_kind_that_is_off() -> None:
    assert refuse_test("welcome", "ana@example.com") == ""
    turn_off("emails_welcome")
    assert "turned off by a switch" in refuse_test("welcome", "ana@example.com")


# Batches ------------------------------------------------------------------------------------------


def test_emails_are_claimed_one_by_one_while_batching_is_off(sink: Sink) -> None:
    for number in range(3):
        queue_note(f"cause {number}")
    turn_off("batching")
    assert send_due_emails() == 1
    assert len(sink.messages) == 1
    turn_on("batching")
    assert send_due_emails() == 2


# Openings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sendgrid", "mailgun"])
def test_no_email_asks_for_reports_of_openings_while_they_are_off(
    choose: Choose, name: str, settings: Settings
) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    (provider,) = choose(name)
    assert isinstance(provider, HTTPProvider)
    tracked = []
    for is_on in (True, False, True):
        (turn_on if is_on else turn_off)("open_tracking")
        assert tracks_opens() is is_on
        queue_email_of("welcome")
        send_due_emails()
        tracked.append(bool(provider.emails[-1].tracks_opens))
    assert tracked == [True, False, True]
    assert provider.wrong == []


def test_the_setting_counts_more_than_the_switch() -> None:
    turn_on("open_tracking")
    assert not tracks_opens()


def test_an_opening_that_is_reported_while_reports_are_off_is_not_stored(
    settings: Settings,
) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    email = queue_note("opened")
    Email.objects.filter(pk=email.pk).update(state="sent", provider="resend", provider_id="7")

    def report() -> str:
        opened = Report(ReportKind.OPENED, at=timezone.now(), provider_id="7")
        record_reports("resend", [opened])
        return Email.objects.get(pk=email.pk).state

    turn_off("open_tracking")
    assert report() == "sent"
    turn_on("open_tracking")
    assert report() == "opened"
