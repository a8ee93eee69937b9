"""Bulk emails stop for a mailbox: by an unsubscription, by a complaint, by staff."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection
from pytest_django import DjangoAssertNumQueries

from notifications.messages import RelatedMessage, build_messages
from notifications.models import Email, Suppression, SuppressionChange
from notifications.sending import send_due_emails
from notifications.suppressions import (
    UnsubscribedError,
    allow_bulk_emails,
    is_suppressed,
    suppress,
    suppressed_emails,
)
from tests.helpers.mail_servers import Sink

pytestmark = pytest.mark.django_db

ADDRESS = "ines@example.com"
STOPPED, COMPLAINED = Suppression.Reason.UNSUBSCRIBED, Suppression.Reason.COMPLAINED


def make_email(number: int = 1, kind: str = "bulk_note", to: str = ADDRESS) -> Email:
    return Email.objects.create(kind=kind, cause=f"note:{number}", to=to, language="en")


def history() -> list[str]:
    return list(SuppressionChange.objects.order_by("pk").values_list("what", flat=True))


@pytest.mark.parametrize(
    ("address", "spelling"),
    [
        (ADDRESS, "INES@EXAMPLE.COM"),
        (ADDRESS, "ines+festas@example.com"),
        ("rui.exemplo@gmail.com", "ruiexemplo@googlemail.com"),
        ("x@faß.example", "x@xn--fa-hia.example"),
        ('"ines"@example.com', ADDRESS),
    ],
)
def test_it_stops_for_every_spelling_of_the_mailbox(address: str, spelling: str) -> None:
    assert suppress(address, STOPPED)
    assert is_suppressed(spelling)
    assert not suppress(spelling, STOPPED)
    assert Suppression.objects.count() == 1
    assert allow_bulk_emails(spelling)
    assert not is_suppressed(address)


def test_other_mailboxes_are_not_concerned() -> None:
    suppress("x@faß.example", STOPPED)
    for other in ("x@fass.example", "y@faß.example", "", ADDRESS):
        assert not is_suppressed(other)


def test_an_email_without_an_address_stops_nothing() -> None:
    assert not suppress("", STOPPED)
    assert not Suppression.objects.exists()


def test_doing_it_twice_is_doing_it_once() -> None:
    email = make_email()
    assert [suppress(ADDRESS, STOPPED, email) for _ in range(3)] == [True, False, False]
    assert [allow_bulk_emails(ADDRESS) for _ in range(3)] == [True, False, False]
    assert history() == ["unsubscribed", "lifted"]


def test_a_complaint_stays_the_reason() -> None:
    """Some mailboxes report a complaint and unsubscribe at once, in any order."""
    for reasons in ([STOPPED, COMPLAINED], [COMPLAINED, STOPPED]):
        Suppression.objects.all().delete()
        for reason in reasons:
            suppress(ADDRESS, reason)
        assert Suppression.objects.get().reason == "complained"


def test_a_complaint_that_is_reported_again_counts_once() -> None:
    email = make_email()
    suppress(ADDRESS, COMPLAINED, email)
    allow_bulk_emails(ADDRESS)
    assert not suppress(ADDRESS, COMPLAINED, email)
    assert not is_suppressed(ADDRESS)
    assert suppress(ADDRESS, COMPLAINED, make_email(2))
    assert is_suppressed(ADDRESS)


def test_the_history_says_who_and_why() -> None:
    email = make_email()
    suppress(ADDRESS, STOPPED, email)
    allow_bulk_emails(ADDRESS, actor="account:5", note="asked by phone")
    changes = SuppressionChange.objects.order_by("pk").values_list("actor", "note", "email")
    assert list(changes) == [("", "", email.pk), ("account:5", "asked by phone", None)]


def test_only_bulk_emails_of_a_batch_are_stopped(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    suppress(ADDRESS, STOPPED)
    tickets = [make_email(number, "note") for number in range(3)]
    with django_assert_num_queries(0):
        assert suppressed_emails(tickets) == set()
    bulk = make_email(4)
    others = [make_email(number, to=f"rui{number}@example.com") for number in range(10, 20)]
    with django_assert_num_queries(1):
        assert suppressed_emails([*tickets, bulk, *others]) == {bulk.pk}


def test_a_batch_leaves_out_the_bulk_emails_of_these_mailboxes(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    suppress("ines+festas@example.com", STOPPED)
    stopped = make_email(1)
    others = [make_email(2, to="rui@example.com"), make_email(3, "note")]
    with django_assert_num_queries(1):
        built = build_messages([stopped, *others])
    assert isinstance(built[stopped.pk], UnsubscribedError)
    for email in others:
        assert isinstance(built[email.pk], RelatedMessage)


def test_an_outage_of_the_database_stops_bulk_emails_only() -> None:
    """Nobody knows then who has unsubscribed. Bulk emails wait; codes and tickets do not."""
    bulk, ticket = make_email(1), make_email(2, "note")

    def fail(*_arguments: object) -> None:
        raise OperationalError

    with connection.execute_wrapper(fail):
        built = build_messages([bulk, ticket])
    assert isinstance(built[bulk.pk], OperationalError)
    assert isinstance(built[ticket.pk], RelatedMessage)


@pytest.mark.django_db(transaction=True)
def test_a_queued_email_is_not_sent_after_an_unsubscription(sink: Sink) -> None:
    """Each reason stops both bulk emails, and no other email to the same mailbox."""
    for number, reason in enumerate([STOPPED, COMPLAINED]):
        Suppression.objects.all().delete()
        bulk, ticket = make_email(10 + number), make_email(20 + number, "note")
        suppress("Ines+x@example.com", reason)
        while send_due_emails():
            pass
        bulk.refresh_from_db()
        ticket.refresh_from_db()
        assert (bulk.state, bulk.error, bulk.attempts) == ("cancelled", "unsubscribed", 0)
        assert ticket.state == "sent"
    assert len(sink.messages) == 2
    allow_bulk_emails(ADDRESS)
    later = make_email(30)
    while send_due_emails():
        pass
    later.refresh_from_db()
    assert later.state == "sent"
    assert sink.messages[-1]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.django_db(transaction=True)
def test_unsubscriptions_at_the_same_moment_make_one_line() -> None:
    def unsubscribe(_number: int) -> bool:
        try:
            return suppress(ADDRESS, STOPPED)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(unsubscribe, range(24)))
    assert sorted(results) == [False] * 23 + [True]
    assert history() == ["unsubscribed"]
