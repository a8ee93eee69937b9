"""The emails of messages to lists: contents, tests, and sending them again."""

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import BlockedPhone, User
from guests.list_message_emails import send_tests
from guests.lists.messages import KIND, cause_of, stop_message
from guests.models import ListMessage
from guests.requests.waiting_list import cancel_guests
from notifications.causes import describe_causes
from notifications.kinds import build_contents, bulk_kinds
from notifications.models import Email
from notifications.resending import resend_email
from tests.factories import make_account, make_event, make_guest
from tests.helpers.emails import send_all
from tests.helpers.list_messages import make_message, sent_message

pytestmark = pytest.mark.django_db


def html_of(message: object) -> str:
    assert isinstance(message, EmailMultiAlternatives)
    return str(message.alternatives[0][0])


def test_it_is_a_bulk_email() -> None:
    """So it can be unsubscribed from, and waits behind the emails that people wait for."""
    assert KIND in bulk_kinds()


def test_a_text_is_text_and_its_addresses_are_links(manager: User) -> None:
    event = make_event()
    account = make_account(language="en", first_name="Zé <b>")
    make_guest(event, account)
    send_all()
    text = "<b>Bold</b> & {{ first_name }}\nhttps://snap.example/mapa.\n\n% {% now %}"
    sent_message(event, manager, text_en=text, subject_en="A & <b>B</b> {{ x }}")
    send_all()
    message = mail.outbox[-1]
    assert message.subject == "A & <b>B</b> {{ x }}"
    body = str(message.body)
    assert text.replace("\n\n", "\n\n") in body
    assert "Zé <b>" in body
    html = html_of(message)
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; {{ first_name }}" in html
    assert 'href="https://snap.example/mapa"' in html
    assert "<b>" not in html


def test_a_hundred_emails_take_as_many_queries_as_one(
    manager: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    event = make_event()
    for _ in range(10):
        make_guest(event)
    sent_message(event, manager)
    causes = list(Email.objects.filter(kind=KIND).values_list("cause", flat=True))
    counts = []
    for batch in (causes[:1], causes):
        with django_assert_max_num_queries(3) as queries:
            contents = build_contents(KIND, batch)
        assert list(contents) == batch
        counts.append(len(queries))
    assert counts[0] == counts[1]
    # One context for all, so the templates are rendered once.
    assert len({id(content.context) for content in contents.values()}) == 1


@pytest.mark.parametrize("cause", ["list_message:1", "list_message:", "list_message:x/y", "x"])
def test_a_cause_of_no_message_is_not_wanted(cause: str) -> None:
    assert build_contents(KIND, [cause]) == {}
    assert describe_causes([cause]) == {}


def test_a_draft_goes_to_nobody_but_its_author(manager: User) -> None:
    event = make_event()
    guest = make_guest(event, manager)
    message = make_message(event)
    assert build_contents(KIND, [cause_of(message.pk, guest.account_id)]) == {}
    assert send_tests(message, manager) == 2
    send_all()
    tests = {m.subject: m for m in mail.outbox if m.subject.startswith(("Test", "Teste"))}
    assert set(tests) == {"Test: Doors at 11 pm", "Teste: Portas às 23:00"}
    assert {tuple(m.to) for m in tests.values()} == {(manager.email,)}


def test_a_test_does_not_stand_in_for_the_message(manager: User) -> None:
    event = make_event()
    make_guest(event, manager)
    send_tests(make_message(event), manager)
    sent_message(event, manager)
    causes = Email.objects.filter(kind=KIND).values_list("cause", flat=True)
    assert sorted("/test-" in cause for cause in causes) == [False, True, True]


def test_staff_send_it_again_to_the_present_address(manager: User) -> None:
    event = make_event()
    guest = make_guest(event)
    message = sent_message(event, manager)
    cause = cause_of(message.pk, guest.account_id)
    Email.objects.update(state="bounced")
    User.objects.filter(pk=guest.account_id).update(email="certa@example.com", language="en")
    resend = resend_email(KIND, cause, actor=f"account:{manager.pk}")
    assert (resend.refusal, resend.to) == ("", "certa@example.com")
    send_all()
    assert mail.outbox[-1].to == ["certa@example.com"]
    assert mail.outbox[-1].subject == "Doors at 11 pm"


def test_each_reason_against_sending_it_again_has_a_sentence(manager: User) -> None:
    def refusal_after(change: object) -> str:
        event = make_event()
        guest = make_guest(event)
        message = sent_message(event, manager)
        assert callable(change)
        change(guest, message)
        resend = resend_email(KIND, cause_of(message.pk, guest.account_id), actor="account:1")
        assert resend.reason
        return resend.refusal

    assert (
        refusal_after(lambda guest, _m: BlockedPhone.objects.create(phone=guest.phone, reason="x"))
        == "message_blocked"
    )
    assert (
        refusal_after(lambda _g, message: stop_message(message, acting_user=manager))
        == "message_stopped"
    )
    assert (
        refusal_after(lambda g, _m: cancel_guests(g.event_id, [g.pk], acting_user=manager))
        == "message_not_for"
    )
    assert resend_email(KIND, "list_message:0/0", actor="account:1").refusal == "gone"


def test_an_email_is_about_its_guest_and_a_test_about_the_message(manager: User) -> None:
    event = make_event()
    guest = make_guest(event)
    message = sent_message(event, manager)
    send_tests(message, manager)
    causes = list(Email.objects.filter(kind=KIND).order_by("pk").values_list("cause", flat=True))
    subjects = describe_causes(causes)
    assert subjects[causes[0]].pk == guest.pk
    assert (subjects[causes[1]].pk, subjects[causes[1]].text) == (message.pk, str(message))
    assert ListMessage.objects.count() == 1
