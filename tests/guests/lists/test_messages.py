"""Messages to lists: whom they are for, queued in batches, once a person whatever happens."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connection
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import User
from guests.exceptions import GuestError
from guests.lists import messages
from guests.lists.messages import (
    audience_of,
    confirm_message,
    has_grown,
    queue_batch,
    queue_messages,
)
from guests.lists.services import NewGuest, add_guest
from guests.models import Event, Guest, ListMessage, ListMessageRecipient
from guests.requests.waiting_list import cancel_guests
from guests.sweeps import SWEEPS
from notifications.models import Email
from notifications.sending import send_due_emails
from notifications.suppressions import suppress
from tests.factories import make_account, make_event, make_event_promoter, make_guest, make_team
from tests.helpers.emails import send_all
from tests.helpers.guards import at_once, slow, without_locks
from tests.helpers.list_messages import emails_to, make_message, queue_all, sent_message, states

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> Event:
    return make_event()


@pytest.fixture
def small_batches(settings: Settings) -> None:
    settings.LIST_MESSAGE_BATCH = 2


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(GuestError) as refused:
        work()
    return refused.value.code


# Whom it is for -----------------------------------------------------------------------------------


def test_each_filter_keeps_the_guests_it_names(manager: User) -> None:
    at = make_event_promoter(make_event(capacity=4), team=make_team())
    event, team = at.event, at.team
    guests = {
        "plain": make_guest(event),
        "promoted": make_guest(event, promoter=at.promoter, team=team),
        "by_hand": add_guest(event, NewGuest(name="Ana Silva"), acting_user=manager),
        "arrived": make_guest(event),
        "waiting": make_guest(event),
        "cancelled": make_guest(event),
        "inactive": make_guest(event),
        "elsewhere": make_guest(),
    }
    Guest.objects.filter(pk=guests["arrived"].pk).update(checked_in_at=Now())
    cancel_guests(event.pk, [guests["cancelled"].pk], acting_user=manager)
    User.objects.filter(guest=guests["inactive"].pk).update(is_active=False)
    names = {guest.pk: name for name, guest in guests.items()}

    def kept(**fields: Any) -> set[str]:
        message = ListMessage(event=event, **fields)
        found = messages.guests_for(message).values_list("pk", flat=True)
        return {names[pk] for pk in found}

    on_list = {"plain", "promoted", "by_hand", "arrived"}
    assert kept(place="") == on_list | {"waiting"}
    assert kept(place="on_list") == on_list
    assert kept(place="waiting") == {"waiting"}
    assert kept(arrival="arrived") == {"arrived"}
    assert kept(arrival="not_arrived") == on_list - {"arrived"}
    assert kept(origin="by_hand") == {"by_hand"}
    assert kept(origin="by_link") == on_list - {"by_hand"}
    assert kept(promoter=at.promoter) == {"promoted"}
    assert kept(team=team) == {"promoted"}
    assert kept(promoter=at.promoter, arrival="arrived") == set()


def test_the_audience_counts_those_whom_no_email_reaches(event: Event) -> None:
    reached, silent = make_account(email="ana@gmail.com"), make_account(email="")
    unsubscribed = make_account(email="r.i.t.a+festas@gmail.com")
    suppress("rita@gmail.com", "unsubscribed")
    for account in (reached, silent, unsubscribed):
        make_guest(event, account)
    audience = audience_of(make_message(event))
    assert (audience.guests, audience.without_email, audience.unsubscribed) == (3, 1, 1)
    assert audience.reached == 1


@pytest.mark.parametrize(
    ("seen", "present", "expected"),
    [(0, 10, False), (0, 11, True), (100, 110, False), (1000, 1101, True), (1000, 3, False)],
)
def test_staff_see_the_number_again_when_a_list_has_grown(
    seen: int, present: int, expected: bool
) -> None:
    assert has_grown(seen, present) is expected


# Sending ------------------------------------------------------------------------------------------


def test_everyone_gets_one_in_their_language(event: Event, manager: User) -> None:
    portuguese, english = make_account(language="pt-pt"), make_account(language="en")
    for account in (portuguese, english):
        make_guest(event, account)
    make_guest(event, make_account(email=""))
    message = sent_message(event, manager)
    assert (message.recipients, message.queued, message.without_email) == (3, 2, 1)
    send_all()
    subjects = {m.to[0]: m.subject for m in mail.outbox if "QR" not in m.subject}
    assert subjects[portuguese.email] == "Portas às 23:00"
    assert subjects[english.email] == "Doors at 11 pm"
    queue_all()
    message.refresh_from_db()
    assert message.state == ListMessage.State.DONE
    assert message.finished_at is not None


def test_without_one_language_everybody_gets_the_other(event: Event, manager: User) -> None:
    english = make_account(language="en")
    make_guest(event, english)
    send_all()
    sent_message(event, manager, subject_en="", text_en="")
    email = Email.objects.get(kind="list_message")
    assert (email.to, email.language) == (english.email, "pt-pt")
    send_all()
    (sent,) = [each for each in mail.outbox if each.subject == "Portas às 23:00"]
    assert "Até já!" in str(sent.body)


def test_two_people_with_one_mailbox_get_one_each(event: Event, manager: User) -> None:
    for _ in range(2):
        make_guest(event, make_account(email="casa@example.com"))
    sent_message(event, manager)
    assert emails_to() == {"casa@example.com": 2}


def test_a_guest_who_comes_while_it_is_sent_gets_none(
    event: Event, manager: User, small_batches: None
) -> None:
    guests = [make_guest(event) for _ in range(3)]
    gone = make_guest(event)
    cancel_guests(event.pk, [gone.pk], acting_user=manager)
    message = make_message(event)
    assert confirm_message(message, acting_user=manager) == 3
    assert queue_batch(message.pk) == 2
    make_guest(event)
    make_guest(event, gone.account)
    queue_all()
    assert set(emails_to()) == {guest.account.email for guest in guests}


def test_a_guest_who_leaves_meanwhile_gets_none(event: Event, manager: User) -> None:
    stays, leaves = make_guest(event), make_guest(event)
    sent_message(event, manager)
    cancel_guests(event.pk, [leaves.pk], acting_user=manager)
    send_all()
    sent = Email.objects.filter(kind="list_message", state="sent")
    assert [email.to for email in sent] == [stays.account.email]
    assert states() == {"sent": 1, "cancelled": 1}


def test_a_guest_who_arrives_meanwhile_is_not_asked_to_come(event: Event, manager: User) -> None:
    guest = make_guest(event)
    sent_message(event, manager, arrival="not_arrived")
    Guest.objects.filter(pk=guest.pk).update(checked_in_at=Now())
    send_all()
    assert states() == {"cancelled": 1}


def test_a_message_is_confirmed_once(event: Event, manager: User) -> None:
    make_guest(event)
    message = sent_message(event, manager)
    assert code_of(lambda: confirm_message(message, acting_user=manager)) == "message_sent"
    queue_all()
    assert sum(emails_to().values()) == 1


def test_a_message_to_nobody_stays_a_draft(event: Event, manager: User) -> None:
    message = make_message(event)
    assert code_of(lambda: confirm_message(message, acting_user=manager)) == "message_to_nobody"
    message.refresh_from_db()
    assert message.is_draft


def test_messages_wait_behind_no_other_message(manager: User, small_batches: None) -> None:
    """A batch of each message in turn: a long one does not hold up a short one."""
    events = [make_event(), make_event()]
    for event in events:
        for _ in range(4):
            make_guest(event)
    for event in events:
        confirm_message(make_message(event), acting_user=manager)
    looks = iter([False, False, True])
    queue_messages(lambda: next(looks))
    assert sorted(ListMessage.objects.values_list("queued", flat=True)) == [2, 2]


def test_a_qr_code_goes_before_the_messages_that_wait(event: Event, manager: User) -> None:
    """As does every email that is about one person: a night of 10,000 messages delays none."""
    for _ in range(3):
        make_guest(event)
    send_all()
    sent_message(event, manager)
    latest = make_guest(event)
    mail.outbox.clear()
    # One at a time: the emails of a batch are handed over by several threads.
    send_due_emails(limit=1)
    assert mail.outbox[0].to == [latest.account.email]
    assert "QR" in str(mail.outbox[0].body)
    send_all()
    assert len(mail.outbox) == 4


def test_few_messages_wait_to_be_sent(
    event: Event, manager: User, settings: Settings, small_batches: None
) -> None:
    """While a provider is slow or away, the others stay where they can be stopped."""
    settings.LIST_MESSAGE_WAITING = 3
    for _ in range(7):
        make_guest(event)
    message = sent_message(event, manager)
    assert message.queued == 4
    queue_all()
    assert states() == {"queued": 4}
    send_all()
    queue_all()
    assert states() == {"sent": 4, "queued": 3}


def test_the_sweeper_queues_messages() -> None:
    assert "sweep_list_messages" in {sweep.name for sweep in SWEEPS}


def test_ten_batches_take_as_many_queries_each_as_one(
    event: Event, manager: User, django_assert_max_num_queries: Any
) -> None:
    counts = []
    for size in (1, 12):
        for _ in range(size):
            make_guest(event)
        message = make_message(event)
        confirm_message(message, acting_user=manager)
        with django_assert_max_num_queries(12) as queries:
            queue_batch(message.pk)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Whatever happens ---------------------------------------------------------------------------------


class StoppedError(Exception):
    """The process ends at a statement."""


def end_at(statement: int) -> Any:
    """Return a context in which the connection fails at the nth statement."""
    left = iter(range(statement, -1, -1))

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if next(left, 1) == 0:
            raise StoppedError
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


@pytest.mark.django_db(transaction=True)
def test_a_process_that_ends_at_any_statement_loses_and_doubles_nothing(
    manager: User, small_batches: None
) -> None:
    event = make_event()
    guests = [make_guest(event) for _ in range(3)]
    statement = 0
    while _ends(event, manager, statement):
        statement += 1
        # The next process goes on where that one ended.
        for message in ListMessage.objects.filter(state="draft"):
            confirm_message(message, acting_user=manager)
        queue_all()
        # So the message is done, and the next one takes no more statements than this one.
        Email.objects.update(state="sent")
        queue_all()
    assert statement > 10
    per_person = dict.fromkeys((guest.account.email for guest in guests), statement + 1)
    assert emails_to() == per_person
    assert not ListMessageRecipient.objects.filter(email=None).exists()


def _ends(event: Event, staff: User, statement: int) -> bool:
    """Send a message in a process that ends at a statement. Return False if it came to the end."""
    message = make_message(event)
    try:
        with end_at(statement):
            confirm_message(message, acting_user=staff)
            queue_all()
    except StoppedError:
        message.refresh_from_db()
        queued = Email.objects.filter(cause__startswith=f"list_message:{message.pk}/").count()
        assert message.queued == queued
        recipients = ListMessageRecipient.objects.filter(message=message)
        assert recipients.count() == (0 if message.is_draft else 3)
        return True
    return False


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_queue_one_each(manager: User, small_batches: None) -> None:
    event = make_event()
    for _ in range(9):
        make_guest(event)
    message = make_message(event)
    confirm_message(message, acting_user=manager)
    at_once([queue_all] * 3)
    queue_all()
    message.refresh_from_db()
    assert (message.queued, set(emails_to().values())) == (9, {1})


@pytest.mark.django_db(transaction=True)
def test_two_presses_confirm_once(manager: User) -> None:
    event = make_event()
    make_guest(event)
    message = make_message(event)

    def press() -> str:
        try:
            return str(confirm_message(message, acting_user=manager))
        except GuestError as error:
            return error.code

    # Without the lock both add recipients, which the constraint refuses.
    with slow("guests_listmessagerecipient", "INSERT"), pytest.raises(IntegrityError):
        at_once([without_locks(press)] * 3)
    message = make_message(event)
    assert sorted(at_once([press] * 3)) == ["1", "message_sent", "message_sent"]
    assert ListMessageRecipient.objects.filter(message=message).count() == 1


# Upgrades -----------------------------------------------------------------------------------------


def test_a_message_after_a_way_back_and_an_upgrade_reaches_everybody(
    event: Event, manager: User
) -> None:
    """The way back keeps the emails of messages, whose causes have ids of messages."""
    guest = make_guest(event)
    earlier = make_message(event).pk + 50
    test = f"list_message:{earlier + 20}/{guest.account_id}/test-x"
    for cause in (messages.cause_of(earlier, guest.account_id), test, "list_message:x/1"):
        Email.objects.create(kind="list_message", cause=cause, to="ana@example.com")
    migration: Any = import_module("guests.migrations.0013_list_messages")
    with connection.cursor() as cursor:
        cursor.execute(migration.CONTINUE_IDS)
    message = sent_message(event, manager)
    assert message.pk > earlier + 20
    assert emails_to()[guest.account.email] == 1


def test_the_first_message_of_an_installation_has_the_first_id() -> None:
    migration: Any = import_module("guests.migrations.0013_list_messages")
    with connection.cursor() as cursor:
        cursor.execute(migration.CONTINUE_IDS)
        assert cursor.fetchall() == []
