"""Messages to lists in admin: write, see, test, confirm, follow, stop."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from guests.admin.message_forms import ASKS_FROM
from guests.models import Event, Guest, ListMessage, ListMessageChange
from notifications.models import Email
from notifications.suppressions import suppress
from tests.factories import make_account, make_event, make_event_promoter, make_guest, make_team
from tests.helpers.admin import admin_client, admin_url, staff_with
from tests.helpers.emails import send_all
from tests.helpers.list_messages import emails_to, make_message, queue_all, sent_message
from tests.helpers.visitors import html_of

pytestmark = pytest.mark.django_db

TEXTS = {
    "place": "on_list",
    "subject_pt": "Portas às 23:00",
    "text_pt": "Abrimos mais cedo.",
    "subject_en": "Doors at 11 pm",
    "text_en": "We open earlier.",
}
SENDER = ("send_list_message", "view_event")


@pytest.fixture
def event() -> Event:
    return make_event()


@pytest.fixture
def sender() -> User:
    """A staff member who may send messages and see events, and no more."""
    return staff_with(*SENDER)


@pytest.fixture
def staff(sender: User) -> Client:
    return admin_client(sender)


def page_of(message: ListMessage, name: str = "change") -> str:
    return admin_url(f"guests_listmessage_{name}", message.pk)


def write(staff: Client, event: Event, **fields: str) -> Any:
    url = admin_url("guests_listmessage_add") + f"?event={event.pk}"
    return staff.post(url, TEXTS | fields)


def send(staff: Client, message: ListMessage, **fields: Any) -> str:
    return html_of(staff.post(page_of(message, "send"), {"seen": 1} | fields, follow=True))


# Writing ------------------------------------------------------------------------------------------


def test_the_way_from_the_event_to_the_email(staff: Client, sender: User, event: Event) -> None:
    guest = make_guest(event, make_account(language="en"))
    send_all()
    page = html_of(staff.get(admin_url("guests_event_change", event.pk)))
    form = f"{admin_url('guests_listmessage_add')}?event={event.pk}"
    assert form in page
    assert event.title in html_of(staff.get(form))
    written = write(staff, event)
    message = ListMessage.objects.get()
    assert written["Location"] == page_of(message)
    assert (message.event, message.author, message.state) == (event, sender, "draft")
    assert ListMessageChange.objects.get().actor == f"account:{sender.pk}"
    preview = html_of(staff.get(page_of(message)))
    for text in ("1 guest", "1 of them gets the email", "Send it to 1 guest", "Português"):
        assert text in preview
    assert not Email.objects.filter(kind="list_message").exists()
    assert "The message goes out to 1 guest." in send(staff, message)
    queue_all()
    send_all()
    (sent,) = [each for each in mail.outbox if each.subject == "Doors at 11 pm"]
    assert sent.to == [guest.account.email]
    followed = html_of(staff.get(page_of(message)))
    assert re.search(r"<dt>Sent</dt><dd>1</dd>", followed)
    # In the history of the event, of the guest, and of admin.
    page = html_of(staff.get(admin_url("guests_event_change", event.pk)))
    assert page_of(message) in page
    assert f"{sender} · " in page
    reader = admin_client(staff_with("view_guest", "change_guest"))
    assert "Message to a list" in html_of(reader.get(admin_url("guests_guest_change", guest.pk)))
    assert LogEntry.objects.get().change_message == "Message to the list: Portas às 23:00"


def test_without_an_event_the_form_asks_for_one(staff: Client, event: Event) -> None:
    page = html_of(staff.get(admin_url("guests_listmessage_add")))
    assert f'<option value="{event.pk}">' in page
    assert "subject_pt" not in page


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        (dict.fromkeys(TEXTS, ""), ["Write the message in one language at least."]),
        ({"text_pt": ""}, ["Write a text as well."]),
        ({"subject_en": "\u200b "}, ["Write a subject as well."]),
        ({"subject_pt": "a\nb"}, ["Write this on one line."]),
        ({"subject_pt": "x" * 121}, ["This is too long."]),
        ({"text_pt": "x" * 5001}, ["This is too long."]),
        ({"text_pt": "a\u202eb"}, ["There is a character in this that cannot be shown."]),
        ({"place": "door"}, ["errorlist"]),
        ({"promoter": "999999"}, ["errorlist"]),
        ({"team": "999999"}, ["errorlist"]),
    ],
    ids=str,
)
def test_a_message_that_cannot_be_sent_is_not_kept(
    fields: dict[str, str], errors: list[str], staff: Client, event: Event
) -> None:
    response = write(staff, event, **fields)
    assert response.status_code == 200
    for error in errors:
        assert error.rstrip(".") in html_of(response)
    assert not ListMessage.objects.exists()


def test_one_language_is_enough_and_the_page_says_so(staff: Client, event: Event) -> None:
    make_guest(event)
    write(staff, event, subject_en="", text_en="")
    page = html_of(staff.get(page_of(ListMessage.objects.get())))
    assert page.count("<iframe") == 1
    assert "everybody gets it like this" in page


def test_promoters_and_teams_are_those_of_the_event(staff: Client) -> None:
    at = make_event_promoter(team=make_team())
    other = make_event_promoter(team=make_team())
    page = html_of(staff.get(admin_url("guests_listmessage_add") + f"?event={at.event_id}"))
    assert at.promoter.name in page
    assert str(at.team) in page
    assert other.promoter.name not in page
    write(staff, at.event, promoter=str(at.promoter_id), team=str(at.team_id), place="")
    page = html_of(staff.get(page_of(ListMessage.objects.get())))
    assert f"on the list or waiting · promoter {at.promoter.name} · team {at.team}" in page


def test_a_draft_is_changed_and_deleted(staff: Client, event: Event) -> None:
    message = make_message(event)
    assert "Abrimos mais cedo." in html_of(staff.get(page_of(message, "edit")))
    staff.post(page_of(message, "edit"), TEXTS | {"text_pt": "Outra vez."})
    message.refresh_from_db()
    assert message.text_pt == "Outra vez."
    staff.post(page_of(message, "discard"))
    assert not ListMessage.objects.exists()


# Seeing -------------------------------------------------------------------------------------------


def test_the_frames_show_the_emails_and_nothing_else(staff: Client, event: Event) -> None:
    message = make_message(event, text_en='<script>alert("x")</script> https://snap.example/x')
    page = staff.get(page_of(message))
    assert "frame-src 'self'" in page["Content-Security-Policy"]
    for language, text in (("pt-pt", "Abrimos mais cedo."), ("en", "&lt;script&gt;")):
        address = page_of(message, "change").replace("change/", f"html/{language}/")
        assert f'src="{address}"' in html_of(page)
        frame = staff.get(address)
        assert text in frame.content.decode()
        assert "<script" not in frame.content.decode()
        policy = frame["Content-Security-Policy"]
        assert "sandbox" in policy
        assert "default-src 'none'" in policy
    assert staff.get(page_of(message).replace("change/", "html/fr/")).status_code == 404


def test_a_test_goes_to_the_staff_member_alone(staff: Client, sender: User, event: Event) -> None:
    make_guest(event)
    message = make_message(event)
    page = html_of(staff.post(page_of(message, "test"), follow=True))
    assert f"The message is on its way to {sender.email}." in page
    assert emails_to() == {sender.email: 2}
    for _ in range(4):
        assert staff.post(page_of(message, "test")).status_code == 302
    assert staff.post(page_of(message, "test")).status_code == 429
    message.refresh_from_db()
    assert message.is_draft


def test_a_test_needs_an_address(event: Event) -> None:
    account = staff_with(*SENDER)
    User.objects.filter(pk=account.pk).update(email="")
    page = admin_client(account).post(page_of(make_message(event), "test"), follow=True)
    assert "Your account has no email address." in html_of(page)
    assert not emails_to()


# Confirming ---------------------------------------------------------------------------------------


def test_the_number_of_many_guests_is_typed(staff: Client, event: Event) -> None:
    make_guest(event)
    message = make_message(event)
    many = str(ASKS_FROM)
    for typed in ({}, {"number": ""}, {"number": "99"}, {"number": "x"}):
        page = send(staff, message, seen=many, **typed)
        assert "Type the number of guests" in page
        message.refresh_from_db()
        assert message.is_draft
    assert "The message goes out" in send(staff, message, seen=many, number=many)


def test_fewer_guests_need_no_number(staff: Client, event: Event) -> None:
    make_guest(event)
    message = make_message(event)
    assert "Type the number" not in html_of(staff.get(page_of(message)))


@pytest.mark.parametrize("seen", ["", "x", "-1", "1e3"])
def test_a_form_without_the_number_sends_nothing(seen: str, staff: Client, event: Event) -> None:
    make_guest(event)
    message = make_message(event)
    send(staff, message, seen=seen)
    message.refresh_from_db()
    assert message.is_draft


def test_a_list_that_has_grown_is_looked_at_again(staff: Client, event: Event) -> None:
    for _ in range(12):
        make_guest(event)
    message = make_message(event)
    assert "The list has grown" in send(staff, message, seen=1)
    message.refresh_from_db()
    assert message.is_draft
    assert "goes out to 12 guests" in send(staff, message, seen=12)


def test_a_second_press_says_so(staff: Client, event: Event) -> None:
    make_guest(event)
    message = make_message(event)
    send(staff, message)
    assert "This message was confirmed before." in send(staff, message)
    queue_all()
    assert sum(emails_to().values()) == 1
    for name in ("edit", "discard", "test"):
        assert staff.post(page_of(message, name), TEXTS).status_code == 404


def test_a_message_to_nobody_has_no_button(staff: Client, event: Event) -> None:
    message = make_message(event)
    assert "No guest gets this message by email." in html_of(staff.get(page_of(message)))
    assert "There is no guest for this message." in send(staff, message, seen=0)


# Following ----------------------------------------------------------------------------------------


def test_the_page_follows_a_message_until_its_end(staff: Client, event: Event) -> None:
    make_guest(event)
    make_guest(event, make_account(email=""))
    message = make_message(event)
    send(staff, message)
    page = html_of(staff.get(page_of(message)))
    assert f'hx-get="{page_of(message)}"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert "<dt>Not queued yet</dt><dd>2</dd>" in page
    queue_all()
    page = html_of(staff.get(page_of(message)))
    assert "<dt>Queued</dt><dd>1</dd>" in page
    assert "<dt>Without an email address</dt><dd>1</dd>" in page
    Email.objects.update(state="bounced")
    queue_all()
    page = html_of(staff.get(page_of(message)))
    assert "<dt>Bounced</dt><dd>1</dd>" in page
    assert "hx-get" not in page
    assert 'http-equiv="refresh"' not in page


def test_a_message_is_stopped_and_goes_on(staff: Client, event: Event) -> None:
    make_guest(event)
    message = make_message(event)
    send(staff, message)
    for name, text in (
        ("stop", "The message is stopped."),
        ("stop", "The message was not being sent."),
        ("resume", "The message goes on."),
        ("resume", "The message was not stopped."),
    ):
        assert text in html_of(staff.post(page_of(message, name), follow=True))
    texts = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert [text.partition(":")[0] for text in texts] == [
        "Message to the list",
        "Message stopped",
        "Message goes on",
    ]


def test_lists_take_as_many_queries_for_many_messages(
    staff: Client, sender: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    counts = []
    for size in (1, 6):
        for _ in range(size):
            at = make_event_promoter(team=make_team())
            make_guest(at.event, promoter=at.promoter, team=at.team)
            sent_message(at.event, sender, promoter=at.promoter, team=at.team)
        with django_assert_max_num_queries(20) as queries:
            assert staff.get(admin_url("guests_listmessage_changelist")).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_progress_of_many_takes_as_many_queries_as_of_one(
    staff: Client, sender: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    counts = []
    for size in (1, 8):
        event = make_event()
        for _ in range(size):
            make_guest(event)
        message = sent_message(event, sender)
        with django_assert_max_num_queries(20) as queries:
            staff.get(page_of(message))
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Access -------------------------------------------------------------------------------------------

POSTS = ["test", "send", "stop", "resume", "discard", "edit"]


@pytest.mark.parametrize(
    "permissions", [(), ("view_event", "change_event", "change_guest"), ("view_listmessage",)]
)
def test_only_staff_with_the_permission_write_and_send(
    permissions: tuple[str, ...], event: Event
) -> None:
    make_guest(event)
    message = make_message(event)
    client = admin_client(staff_with(*permissions))
    assert write(client, event).status_code == 403
    for name in POSTS:
        assert client.post(page_of(message, name), TEXTS).status_code == 403, name
    for name in ("test", "send", "stop", "resume", "discard"):
        assert admin_client(staff_with(*SENDER)).get(page_of(message, name)).status_code == 405
    assert ListMessage.objects.get().is_draft
    may_see = permissions == ("view_listmessage",)
    seen = client.get(page_of(message))
    assert seen.status_code == (200 if may_see else 403)
    assert "Send it to" not in html_of(seen)
    frame = client.get(page_of(message).replace("change/", "html/en/"))
    assert frame.status_code == (200 if may_see else 403)


@pytest.mark.parametrize("role", ["anonymous", "guest"])
def test_others_are_led_to_the_sign_in(role: str, event: Event, guest: Guest) -> None:
    message = make_message(event)
    client = Client() if role == "anonymous" else admin_client(guest.account)
    for name in ("change", "edit"):
        response = client.get(page_of(message, name))
        assert response.status_code == 302
        assert "/admin/login/" in response["Location"]
    assert client.post(page_of(message, "send"), {"seen": "1"}).status_code == 302
    assert ListMessage.objects.get().is_draft


def test_unknown_messages_are_no_pages(staff: Client) -> None:
    for name in ("change", "edit", "send", "stop", "resume"):
        url = admin_url(f"guests_listmessage_{name}", 999_999)
        response = staff.get(url) if name in {"change", "edit"} else staff.post(url)
        assert response.status_code == 404, name


def test_staff_who_unsubscribed_read_that_no_test_arrives(
    staff: Client, sender: User, event: Event
) -> None:
    message = make_message(event)
    suppress(sender.email, "unsubscribed")
    page = staff.post(page_of(message, "test"), follow=True)
    assert "Your own address gets no reminders" in html_of(page)
    assert emails_to() == {}


def test_the_progress_ends_when_the_emails_have_left(
    staff: Client, sender: User, event: Event
) -> None:
    make_guest(event)
    make_guest(event, make_account(email=""))
    message = sent_message(event, sender)
    page = html_of(staff.get(page_of(message)))
    assert '<progress value="1" max="2"' in page, "an email waits"
    send_all()
    page = html_of(staff.get(page_of(message)))
    assert '<progress value="2" max="2"' in page
