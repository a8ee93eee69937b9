"""A request for a place: who may ask, and that one person has one request."""

from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from redis import Redis

from accounts.models import BlockedPhone
from guests.exceptions import GuestError
from guests.models import Event, Guest, GuestRequest
from guests.requests.accepting import latest_request, request_place
from guests.requests.creating import create_due_guests
from guests.requests.tickets import Ticket, ticket_of
from guests.requests.waiting_list import cancel_guests
from notifications.models import Email
from snap.celery import app
from tests.factories import make_account, make_event, make_request
from tests.helpers.guards import THREADS, at_once, slow, without_constraint
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db
# Threads have their own connections and see only committed rows.
committed = pytest.mark.django_db(transaction=True)


def test_a_request_is_pending_and_due_at_once() -> None:
    account = make_account(first_name="Inês", last_name="Exemplo")
    request = request_place(make_event(), account)
    assert (request.state, request.name, request.phone) == (
        "pending",
        "Inês Exemplo",
        account.phone,
    )
    assert GuestRequest.objects.due().get() == request


def test_a_name_given_with_the_request_is_used() -> None:
    request = request_place(make_event(), make_account(), name="Nê")
    assert request.name == "Nê"


def test_asking_again_returns_the_pending_request() -> None:
    event, account = make_event(), make_account()
    first = request_place(event, account)
    assert request_place(event, account) == first
    assert GuestRequest.objects.count() == 1


def test_asking_again_after_the_list_has_closed_returns_the_same_guest_and_qr(
    guest: Guest,
) -> None:
    Event.objects.update(list_closes_at=timezone.now())
    again = request_place(Event.objects.with_database_time().get(), guest.account)
    assert again.guest == guest
    assert ticket_of(again).qr_code_url.endswith(f"{guest.qr_token}.png")


def test_a_late_insert_sees_the_guest_of_a_request_that_has_ended(
    guest: Guest, manager: Any
) -> None:
    """Of two parallel requests one may look before the other begins, and insert after its end."""

    def insert() -> bool:
        given = {"event": guest.event, "account": guest.account, "phone": guest.phone}
        late = GuestRequest(**given, idempotency_key="")
        return late.insert(due_in=0)

    assert not insert()
    assert GuestRequest.objects.count() == 1
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    assert insert()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"list_opens_at": timezone.now() + timedelta(hours=1)}, "not_open_yet"),
        ({"list_closes_at": timezone.now() - timedelta(minutes=1)}, "closed"),
        ({"cancelled_at": timezone.now()}, "event_cancelled"),
        ({"capacity": 0, "has_waiting_list": False}, "list_full"),
    ],
)
def test_the_refusal_of_a_list_has_a_code(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(GuestError) as refusal:
        request_place(make_event(**fields), make_account())
    assert refusal.value.code == code
    assert not GuestRequest.objects.exists()


def test_blocked_phones_and_inactive_accounts_are_refused_with_the_same_code() -> None:
    event, blocked, off = make_event(), make_account(), make_account(is_active=False)
    assert blocked.phone is not None
    BlockedPhone.objects.create(phone=blocked.phone[:8], is_prefix=True, reason="tests")
    for account in (blocked, off):
        with pytest.raises(GuestError, match="refused"):
            request_place(event, account)


@committed
def test_a_wake_up_reaches_the_broker() -> None:
    # A worker of the stack may take the message at once, so the broker's commands are watched.
    with Redis.from_url(settings.BROKER_URL, socket_timeout=5) as broker, broker.monitor() as seen:
        make_request()
        assert any(each["command"].startswith("LPUSH guests ") for each in seen.listen())
        broker.delete("guests")
    assert app.conf.broker_url == settings.BROKER_URL


@committed
def test_without_the_constraint_parallel_requests_of_one_person_are_many() -> None:
    event, account = make_event(), make_account()
    name = "guests_one_pending_request_per_account"
    with (
        without_constraint("guests_guestrequest", name),
        slow("guests_guestrequest", "INSERT"),
    ):
        at_once([lambda: request_place(event, account)] * THREADS)
        assert GuestRequest.objects.count() > 1


@pytest.mark.slow
@committed
def test_a_request_that_ends_during_the_insert_of_another_is_the_only_one() -> None:
    event, account = make_event(), make_account()

    def ask_and_end() -> GuestRequest:
        request = request_place(event, account)
        create_due_guests()
        return request

    def ask_a_second_later() -> GuestRequest:
        sleep(1)
        return request_place(event, account)

    # Each insert takes two seconds, so the first request ends while the second is inserted.
    with slow("guests_guestrequest", "INSERT", seconds=2):
        first, second = at_once([ask_and_end, ask_a_second_later])
    assert first == second
    assert GuestRequest.objects.count() == 1
    assert broken_invariants() == []


@committed
def test_with_the_constraint_twenty_requests_of_one_person_are_one_with_one_qr() -> None:
    event, account = make_event(), make_account()

    def ask() -> Ticket:
        request = request_place(event, account)
        create_due_guests()
        stored = latest_request(event, account)
        assert stored is not None
        assert stored.ticket_id == request.ticket_id
        return ticket_of(stored)

    with slow("guests_guestrequest", "INSERT", seconds=0.05):
        at_once([ask] * 20)
    create_due_guests()
    tickets = {ask() for _ in range(2)}
    assert GuestRequest.objects.count() == Guest.objects.count() == 1
    assert {ticket.state for ticket in tickets} == {"created"}
    assert Email.objects.filter(kind="qr_code").count() == 1
    assert broken_invariants() == []
