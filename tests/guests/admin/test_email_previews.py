"""The emails of an event in admin: each kind in both languages, and tests that staff send."""

import re
from io import BytesIO
from typing import Any

import pytest
import zxingcpp
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from PIL import Image
from pytest_django import Settings

from accounts.models import User
from guests.email_samples import example_qr
from guests.models import Event
from notifications.causes import describe_causes
from notifications.kinds import kind_label
from notifications.models import Email
from notifications.previews import build_preview, kinds_with_samples, make_samples
from notifications.suppressions import suppress
from tests.factories import make_account, make_event, make_guest
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.emails import send_all

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(manager: User) -> Client:
    """A browser of the manager, in English."""
    return admin_client(manager)


@pytest.fixture
def event() -> Event:
    return make_event(title="Noite & Dia", slug="noite")


def email_page(event: Event, kind: str, sample: str) -> str:
    return admin_url("guests_event_email", event.pk, kind, sample)


def frame(event: Event, kind: str, sample: str, language: str) -> str:
    return admin_url("guests_event_email_frame", event.pk, kind, sample, language)


def send_test(client: Client, event: Event, kind: str, sample: str, language: str = "en") -> Any:
    url = admin_url("guests_event_email_test", event.pk, kind, sample)
    return client.post(url, {"language": language}, follow=True)


def examples(event: Event) -> list[tuple[str, str]]:
    """Return the kind and the name of every example."""
    found = []
    for kind in kinds_with_samples():
        found += [(kind, sample.name) for sample in make_samples(kind, event)]
    return found


def test_the_list_has_every_kind_with_its_subjects(staff: Client, event: Event) -> None:
    page = staff.get(admin_url("guests_event_emails", event.pk)).content.decode()
    for kind in kinds_with_samples():
        assert kind_label(kind) in page
    assert "O teu código QR para Noite &amp; Dia" in page
    assert "Your QR code for Noite &amp; Dia" in page
    assert "Estás na lista de espera para Noite &amp; Dia" in page
    for kind, sample in examples(event):
        assert page.count(f'"{email_page(event, kind, sample)}"') == 1
    form = staff.get(admin_url("guests_event_change", event.pk)).content.decode()
    assert admin_url("guests_event_emails", event.pk) in form


@pytest.mark.slow
def test_each_example_is_shown_in_both_languages(staff: Client, event: Event) -> None:
    for kind, sample in examples(event):
        page = staff.get(email_page(event, kind, sample)).content.decode()
        for language in ("pt-pt", "en"):
            message = build_preview(kind, event.pk, sample, language)
            assert message is not None
            assert f"{frame(event, kind, sample, language)}?scheme=light" in page
            assert f"<pre lang={chr(34)}{language}{chr(34)}>" in page
            response = staff.get(frame(event, kind, sample, language))
            assert response.status_code == 200
            assert f'<html lang="{language}"' in response.content.decode()


def test_width_and_scheme_are_chosen_by_the_address(staff: Client, event: Event) -> None:
    url = email_page(event, "welcome", "usual")
    assert "email-previews-phone" in staff.get(url).content.decode()
    page = staff.get(f"{url}?width=desktop&scheme=dark").content.decode()
    assert "email-previews-desktop" in page
    assert "?scheme=dark" in page
    shown = frame(event, "welcome", "usual", "en")
    assert "@media all" in staff.get(f"{shown}?scheme=dark").content.decode()
    assert "@media not all" in staff.get(shown).content.decode()
    assert "email-previews-phone" in staff.get(f"{url}?width=%3Cb%3E").content.decode()


def test_the_frame_runs_nothing_and_loads_nothing_of_others(staff: Client, event: Event) -> None:
    response = staff.get(frame(event, "qr_code", "usual", "en"))
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "script-src" not in policy
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    html = response.content.decode()
    assert "cid:" not in html
    assert 'src="data:image/png;base64,' in html


def test_an_example_has_nothing_of_a_guest_and_opens_no_door(staff: Client, event: Event) -> None:
    account = make_account(first_name="Verdadeira", email="verdadeira@example.pt")
    guest = make_guest(event, account)
    assert guest.qr_token
    for kind, sample in examples(event):
        html = staff.get(frame(event, kind, sample, "pt-pt")).content.decode()
        for secret in ("Verdadeira", "verdadeira@", guest.qr_token, "/guest/"):
            assert secret not in html
    (code,) = zxingcpp.read_barcodes(Image.open(BytesIO(example_qr(event))))
    assert code.text == f"http://localhost:8000/promo/{event.slug}/"


def test_an_event_in_any_state_has_examples(staff: Client) -> None:
    events = [
        make_event(title="<b>&{{ x }}", address="", description="D" * 2000),
        make_event(poster="posters/0123456789abcdef_800.jpg"),
        make_event(poster="posters/older.png", is_published=False),
    ]
    Event.objects.filter(pk=events[2].pk).update(cancelled_at="2026-01-01T00:00Z")
    for event in events:
        assert staff.get(admin_url("guests_event_emails", event.pk)).status_code == 200
    html = staff.get(frame(events[0], "qr_code", "usual", "en")).content.decode()
    assert "<b>&" not in html
    assert "&lt;b&gt;&amp;{{ x }}" in html
    html = staff.get(frame(events[1], "qr_code", "usual", "en")).content.decode()
    assert "/media/posters/0123456789abcdef_800-360.jpg" in html


@pytest.mark.parametrize(
    ("kind", "sample", "language"),
    [
        ("nothing", "usual", "en"),
        ("welcome", "nothing", "en"),
        ("qr_code", "new", "en"),
        ("welcome", "usual", "fr"),
    ],
)
def test_an_unknown_example_is_not_found(
    staff: Client, event: Event, kind: str, sample: str, language: str
) -> None:
    assert staff.get(frame(event, kind, sample, language)).status_code == 404
    assert send_test(staff, event, kind, sample, language).status_code == 404
    if language == "en":
        assert staff.get(email_page(event, kind, sample)).status_code == 404
    assert not Email.objects.exists()


def test_only_staff_who_may_see_the_event_see_its_emails(event: Event) -> None:
    urls = [
        admin_url("guests_event_emails", event.pk),
        email_page(event, "welcome", "usual"),
        frame(event, "welcome", "usual", "en"),
    ]
    may_look = admin_client(staff_with("view_event"))
    may_not = admin_client(staff_with("view_guest", "change_guest"))
    stranger, nobody = admin_client(make_account()), Client()
    for url in urls:
        assert may_look.get(url).status_code == 200
        assert may_look.post(url).status_code == 405
        assert may_not.get(url).status_code == 403
        assert stranger.get(url).status_code == 302
        assert nobody.get(url).status_code == 302
    for client in (may_not, stranger, nobody):
        send_test(client, event, "welcome", "usual")
    test_url = admin_url("guests_event_email_test", event.pk, "welcome", "usual")
    assert may_look.get(test_url).status_code == 405
    assert not Email.objects.exists()


def test_a_test_of_every_kind_arrives_as_the_guests_email_would(
    staff: Client, manager: User, event: Event
) -> None:
    for kind, sample in examples(event):
        Email.objects.all().delete()
        page = send_test(staff, event, kind, sample, "pt-pt").content.decode()
        assert f"A test is on its way to {manager.email}." in page
        mail.outbox.clear()
        send_all()
        (sent,) = mail.outbox
        assert isinstance(sent, EmailMultiAlternatives)
        assert sent.to == [manager.email]
        shown = build_preview(kind, event.pk, sample, "pt-pt")
        assert shown is not None
        assert sent.subject == f"Teste · {shown.subject}"
        assert structure(sent) == structure(shown)
        assert without_ids(html_of(sent)) == without_ids(html_of(shown))
        assert without_ids(str(sent.body)) == without_ids(str(shown.body))


def structure(message: EmailMultiAlternatives) -> list[str]:
    return [part.get_content_type() for part in message.message().walk()]


def html_of(message: EmailMultiAlternatives) -> str:
    return str(message.alternatives[0][0])


def without_ids(text: str) -> str:
    return re.sub(r"(cid:|/unsubscribe/)[^\"\s]*", r"\1", text)


def test_a_test_can_be_sent_again_and_is_described(
    staff: Client, manager: User, event: Event
) -> None:
    for _ in range(2):
        send_test(staff, event, "qr_code", "promoted")
    causes = list(Email.objects.values_list("cause", flat=True))
    assert len(set(causes)) == 2
    assert [subject.text for subject in describe_causes(causes).values()] == [
        f"Test: {event.title}"
    ] * 2
    send_all()
    email = Email.objects.order_by("pk")[0]
    Email.objects.update(queued_at="2026-01-01T00:00Z", sent_at="2026-01-01T00:00Z")
    staff.post(admin_url("notifications_email_send_again", email.pk))
    email.refresh_from_db()
    assert (email.state, email.to) == ("queued", manager.email)
    event.delete()
    assert describe_causes(causes) == {}
    send_all()
    email.refresh_from_db()
    assert email.state == "cancelled"


def test_tests_are_limited_for_each_address(
    staff: Client, event: Event, settings: Settings
) -> None:
    settings.EMAILS_PER_RECIPIENT = 2
    for _ in range(4):
        assert "is on its way" in send_test(staff, event, "welcome", "usual").content.decode()
    refused = send_test(staff, event, "welcome", "usual").content.decode()
    assert "Too many emails to this address in an hour." in refused
    assert Email.objects.filter(state="queued").count() == 4


def test_staff_without_an_email_get_no_test(event: Event) -> None:
    account = staff_with("view_event")
    User.objects.filter(pk=account.pk).update(email="")
    client = admin_client(account)
    assert (
        "no test can be sent to you"
        in client.get(email_page(event, "welcome", "usual")).content.decode()
    )
    page = send_test(client, event, "welcome", "usual").content.decode()
    assert "Your account has no email address." in page
    assert not Email.objects.exists()


def test_staff_who_unsubscribed_read_that_no_test_of_a_bulk_email_arrives(
    staff: Client, manager: User, event: Event
) -> None:
    suppress(manager.email, "unsubscribed")
    for kind, arrives in (("reminder", False), ("list_message", False), ("qr_code", True)):
        page = send_test(staff, event, kind, "usual")
        said = "Your own address gets no reminders" not in page.content.decode()
        assert said == arrives, kind
        assert Email.objects.filter(kind=kind).exists() == arrives, kind
