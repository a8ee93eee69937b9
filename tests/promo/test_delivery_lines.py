"""The line about the email on the pages of a place: what became of it, for its holder only."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from guests.models import Guest
from guests.requests.creating import create_due_guests
from guests.requests.pushes import places_group
from notifications.bounces import BounceReason
from notifications.models import Email
from notifications.reports import Report, ReportKind, record_reports
from tests.factories import make_account, make_event, make_guest
from tests.helpers.pushes import listening
from tests.helpers.visitors import PHONE, Visitor, html_of, location_of

pytestmark = pytest.mark.django_db

TAG = re.compile(r"<[^>]*>")
HINT = "i•••@example.com"
YESTERDAY = datetime(2026, 7, 1, 22, 4, tzinfo=UTC)  # 23:04 in Lisbon


@pytest.fixture
def guest() -> Guest:
    event = make_event(time_zone="Europe/Lisbon")
    return make_guest(event, make_account(email="ines@example.com"))


def set_email(guest: Guest, **fields: Any) -> None:
    given = {"provider": "resend", "provider_id": "id-1"} | fields
    assert Email.objects.filter(kind="qr_code", cause__startswith=f"guest:{guest.pk}/").update(
        **given
    )


def pages_of(guest: Guest) -> list[str]:
    ticket = guest.guestrequest_set.get().ticket_id
    event = f"/promo/{guest.event.slug}/"
    return [event, f"{event}ticket/{ticket}/", f"/guest/{guest.qr_token}"]


def lines_of(guest: Guest) -> set[str]:
    """Return the lines about the email on the pages of a place, as the holder reads them."""
    visitor = Visitor(guest.event).signed_in(guest.account)
    return {line_in(html_of(visitor.get(path))) for path in pages_of(guest)}


def words_of(html: str) -> str:
    """Return the text of HTML with single spaces."""
    return " ".join(unescape(TAG.sub("", html)).split())


def line_in(page: str) -> str:
    """Return the text of the element about the email."""
    tag, _, rest = page.partition("data-delivery=")[2].partition(">")
    assert tag, page
    end = "</div>" if 'role="note" data-delivery' in page else "</p>"
    return words_of(rest.partition(end)[0])


def test_the_line_says_when_the_email_was_delivered(guest: Guest) -> None:
    set_email(guest, state="delivered", sent_at=YESTERDAY, delivered_at=YESTERDAY)
    (line,) = lines_of(guest)
    assert line.startswith(
        "Email delivered on 1 July at 23:04 (Europe/Lisbon) to i•••@example.com."
    )


def test_a_time_of_today_needs_no_date(guest: Guest) -> None:
    now = timezone.now()
    set_email(guest, state="delivered", sent_at=now, delivered_at=now)
    local = now.astimezone(guest.event.zone)
    (line,) = lines_of(guest)
    assert line.startswith(f"Email delivered at {local:%H:%M} (Europe/Lisbon) to {HINT}.")


ON_1_JULY = f"on 1 July at 23:04 (Europe/Lisbon) to {HINT}."
REFUSED = f"The email came back: the mail server of {HINT} did not accept it."
LOST = f"Our email to {HINT} did not arrive."
BOUNCES = [
    ("5.1.1 invalid", f"The email came back: the address {HINT} does not exist."),
    ("5.2.2 full", f"The email came back: the mailbox of {HINT} is full."),
    ("5.7.1 blocked", REFUSED),
    ("rejected", REFUSED),
    ("5.7.26 authentication", f"{LOST} The fault is ours, not your address's."),
    ("ours", f"{LOST} The fault is ours, not your address's."),
]
STATES: list[tuple[dict[str, Any], str]] = [
    ({"state": "sent", "sent_at": YESTERDAY}, f"Email sent {ON_1_JULY}"),
    ({"state": "delivered"}, f"Email delivered to {HINT}."),
    ({"state": "opened", "opened_at": YESTERDAY}, f"Email delivered {ON_1_JULY}"),
    ({"state": "complained", "delivered_at": YESTERDAY}, f"Email delivered {ON_1_JULY}"),
    ({"state": "queued", "unsure_provider": "mailgun"}, "We do not know yet whether our email to"),
    ({"state": "dead", "unsure_provider": "smtp"}, "We do not know yet whether our email to"),
    ({"state": "dead", "error": "SMTPDataError"}, LOST),
    ({"state": "cancelled", "error": "too_many_for_recipient"}, LOST),
    *(({"state": "bounced", "error": f"bounced {error}"}, text) for error, text in BOUNCES),
]


@pytest.mark.parametrize(("fields", "text"), STATES)
def test_each_state_has_its_sentence_on_every_page(
    guest: Guest, fields: dict[str, Any], text: str
) -> None:
    set_email(guest, **fields)
    for line in lines_of(guest):
        assert line.startswith(text)
        assert line.endswith("Correct the email")


def test_the_line_is_portuguese_too(guest: Guest) -> None:
    set_email(guest, state="delivered", delivered_at=YESTERDAY)
    visitor = Visitor(guest.event).signed_in(guest.account)
    for path in pages_of(guest):
        page = html_of(visitor.browser.get(path, headers={"Accept-Language": "pt"}))
        assert "Email entregue a 1 de julho às 23:04 (Europe/Lisbon) a" in words_of(page)


def test_an_email_to_an_earlier_address_says_nothing_of_the_present_one(guest: Guest) -> None:
    set_email(guest, state="bounced", error="bounced 5.1.1 invalid", to="old@example.com")
    for line in lines_of(guest):
        assert "came back" not in line


def test_strangers_read_nothing_of_the_email(guest: Guest) -> None:
    set_email(guest, state="bounced", error="bounced 5.1.1 invalid")
    stranger = Visitor(guest.event).signed_in(make_account())
    for browser in (Client(), stranger.browser):
        for path in pages_of(guest):
            page = browser.get(path, follow=True).content.decode()
            assert "data-delivery" not in page
            assert HINT not in page


def test_the_line_takes_one_query_and_a_poll_takes_none(guest: Guest) -> None:
    visitor = Visitor(guest.event).signed_in(guest.account)
    for path in pages_of(guest):
        visitor.get(path)
        with CaptureQueriesContext(connection) as captured:
            visitor.get(path)
        assert sum("notifications_email" in query["sql"] for query in captured) == 1
    with CaptureQueriesContext(connection) as captured:
        visitor.browser.get(pages_of(guest)[1], headers={"HX-Request": "true"})
    assert not any("notifications_email" in query["sql"] for query in captured)


def test_a_bounce_makes_the_pages_of_its_guest_load_again(
    guest: Guest, django_capture_on_commit_callbacks: Any
) -> None:
    set_email(guest, state="sent")
    with listening() as heard:
        for kind in (ReportKind.DELIVERED, ReportKind.BOUNCED, ReportKind.BOUNCED):
            with django_capture_on_commit_callbacks(execute=True):
                record_reports("resend", [Report(kind, provider_id="id-1")])
        pushes = heard(1)
    message = {"type": "place.changed", "event_id": guest.event_id}
    assert pushes == [(places_group(guest.account_id), message)]


# The correction -----------------------------------------------------------------------------------


def bounce(account: User) -> None:
    """Let every email to an account come back, as its provider reports it."""
    for email in Email.objects.filter(to=account.email):
        Email.objects.filter(pk=email.pk).update(
            state="sent", sent_at=timezone.now(), provider="resend", provider_id=str(email.pk)
        )
        report = Report(
            ReportKind.BOUNCED, provider_id=str(email.pk), reason=BounceReason.INVALID, code="5.1.1"
        )
        assert record_reports("resend", [report]) == 1


def test_the_browser_that_registered_corrects_a_bounced_address_and_the_code_goes_there() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.register(email="ines@gmial.com")
    account = User.objects.get(phone=PHONE)
    guest = make_guest_of(visitor, account)
    bounce(account)
    page = html_of(visitor.look())
    assert "does not exist" in page
    assert "Did you mean <strong>gmail.com</strong>?" in page
    assert visitor.step_url("email") in page
    visitor.open("email")
    visitor.get(location_of(visitor.send("email", email="ines@gmail.com")))
    queued = Email.objects.get(kind="qr_code", to="ines@gmail.com")
    guest.refresh_from_db()
    assert (queued.state, queued.cause) == ("queued", f"guest:{guest.pk}/{guest.listings}")
    assert "The email came back" not in html_of(visitor.look())
    old = Email.objects.get(kind="qr_code", to="ines@gmial.com")
    assert (old.state, old.error) == ("bounced", "bounced 5.1.1 invalid")


def test_an_unusual_address_has_its_delivery_beside_the_question() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    visitor.register(email="ines@gmial.com")
    make_guest_of(visitor, User.objects.get(phone=PHONE))
    assert "The email goes to <strong>i•••@gmial.com</strong>" in html_of(visitor.look())
    Email.objects.filter(kind="qr_code").update(state="delivered", delivered_at=timezone.now())
    page = html_of(visitor.look())
    assert "Email delivered at" in page
    assert "Did you mean <strong>gmail.com</strong>?" in page


def make_guest_of(visitor: Visitor, account: User) -> Guest:
    create_due_guests()
    return Guest.objects.get(account=account)


def test_a_proven_account_is_not_sent_a_code_to_an_address_that_sends_it_back() -> None:
    account = make_account(phone=PHONE, email="ines@example.com", verified_at=timezone.now())
    guest = make_guest(make_event(), account)
    visitor = Visitor(guest.event).signed_in(account)
    assert "sends our emails back" not in html_of(visitor.open("email"))
    bounce(account)
    page = html_of(visitor.open("email"))
    assert "That address sends our emails back" in page
    assert f'class="button" href="{visitor.step_url("claim")}' in page
    # The mailbox may work again: the person can still ask for a code.
    sent = visitor.send("email", send="1")
    assert 'name="code"' in html_of(visitor.get(location_of(sent)))


@pytest.mark.parametrize("reason", [BounceReason.FULL, BounceReason.AUTHENTICATION])
def test_a_full_mailbox_still_gets_a_code(reason: BounceReason) -> None:
    account = make_account(phone=PHONE, email="ines@example.com", verified_at=timezone.now())
    guest = make_guest(make_event(), account)
    sent_at = timezone.now() - timedelta(minutes=1)
    set_email(guest, state="bounced", error=f"bounced {reason}", sent_at=sent_at)
    page = html_of(Visitor(guest.event).signed_in(account).open("email"))
    assert "sends our emails back" not in page
    assert "Send me a code" in page
