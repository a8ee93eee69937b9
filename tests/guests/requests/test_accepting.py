"""Asking for a place, giving one back, and who may ask at all."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone
from redis import Redis

from accounts.models import BlockedPhone
from guests.exceptions import GuestError
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import image_name
from guests.requests.accepting import find_promoter, latest_request, request_place
from guests.requests.creating import create_due_guests
from guests.requests.places import cancel_guests, fill_free_places
from guests.requests.tickets import REQUESTS_PER_SECOND, Ticket, estimated_seconds, ticket_of
from notifications.models import Email
from snap.celery import app
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_promoter,
    make_request,
    make_staff,
    make_team,
)
from tests.helpers.guards import THREADS, at_once, slow, without_constraint, without_locks
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db
# Threads have connections of their own and see only what is committed.
committed = pytest.mark.django_db(transaction=True)


# Asking ------------------------------------------------------------------------------------------


def test_a_request_is_pending_and_due_at_once() -> None:
    account = make_account(first_name="Inês", last_name="Exemplo")
    request = request_place(make_event(), account)
    assert (request.state, request.name, request.phone) == (
        "pending",
        "Inês Exemplo",
        account.phone,
    )
    assert GuestRequest.objects.due().get() == request


def test_a_name_of_ones_own_goes_on_the_list() -> None:
    request = request_place(make_event(), make_account(), name="Nê")
    assert request.name == "Nê"


def test_asking_again_returns_the_pending_request() -> None:
    event, account = make_event(), make_account()
    first = request_place(event, account)
    assert request_place(event, account) == first
    assert GuestRequest.objects.count() == 1


def test_asking_again_returns_the_same_guest_and_qr_even_when_the_list_has_closed(
    guest: Guest,
) -> None:
    Event.objects.update(list_closes_at=timezone.now())
    again = request_place(Event.objects.get(), guest.account)
    assert again.guest == guest
    assert ticket_of(again).qr_code_url.endswith(f"{guest.qr_token}.png")


def test_a_request_that_was_made_and_ended_meanwhile_is_seen_by_its_guest(
    guest: Guest, manager: Any
) -> None:
    """Whoever asks twice at once may look before the first has come, and insert after its end."""

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
        ({"cancelled_at": timezone.now()}, "cancelled"),
        ({"capacity": 0, "has_waiting_list": False}, "list_full"),
    ],
)
def test_a_list_that_takes_no_requests_says_why(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(GuestError) as refusal:
        request_place(make_event(**fields), make_account())
    assert refusal.value.code == code
    assert not GuestRequest.objects.exists()


def test_blocked_phones_and_switched_off_accounts_are_refused_alike() -> None:
    event, blocked, off = make_event(), make_account(), make_account(is_active=False)
    assert blocked.phone is not None
    BlockedPhone.objects.create(phone=blocked.phone[:8], is_prefix=True, reason="tests")
    for account in (blocked, off):
        with pytest.raises(GuestError, match="refused"):
            request_place(event, account)


@committed
def test_a_wake_up_reaches_the_broker() -> None:
    with Redis.from_url(settings.BROKER_URL) as broker:
        make_request()
        assert broker.blpop(["guests"], timeout=5) is not None
    assert app.conf.broker_url == settings.BROKER_URL


@committed
def test_without_its_constraint_twenty_requests_of_one_person_are_many() -> None:
    event, account = make_event(), make_account()
    name = "guests_one_pending_request_per_account"
    with (
        without_constraint("guests_guestrequest", name),
        slow("guests_guestrequest", "INSERT"),
    ):
        at_once([lambda: request_place(event, account)] * THREADS)
        assert GuestRequest.objects.count() > 1


@committed
def test_with_it_twenty_requests_of_one_person_are_one_with_one_guest_and_one_qr() -> None:
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


# Promoters -------------------------------------------------------------------------------------


def test_a_request_is_attributed_to_the_events_promoter() -> None:
    at_event = make_event_promoter(team=make_team())
    found = find_promoter(at_event.event, code=at_event.promoter.code)
    assert found == (at_event.promoter, at_event.team)
    guest = make_guest(at_event.event, promoter=found[0], team=found[1])
    assert (guest.promoter, guest.team) == found


def test_without_a_promoter_there_is_none() -> None:
    assert find_promoter(make_event()) == (None, None)


def test_promoters_and_teams_of_other_events_are_refused() -> None:
    at_event, team = make_event_promoter(team=make_team()), make_team()
    wrong: list[dict[str, Any]] = [
        {"code": make_promoter().code},
        {"code": "nobody"},
        {"promoter_id": make_event_promoter().promoter_id},
        {"promoter_id": at_event.promoter_id, "team_id": team.pk},
        {"team_id": team.pk},
    ]
    for named in wrong:
        with pytest.raises(GuestError, match="promoter_not_at_event"):
            find_promoter(at_event.event, **named)


# Giving back -------------------------------------------------------------------------------------


def test_a_cancelled_place_goes_to_the_first_in_line_with_an_email_and_a_qr() -> None:
    event = make_event(capacity=1)
    guest, first, second = (make_guest(event) for _ in range(3))
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    for each in (guest, first, second):
        each.refresh_from_db()
    assert (guest.state, first.state, second.state) == ("cancelled", "on_list", "waiting")
    assert guest.qr_token is None
    assert first.has_waited()
    assert second.position() == 1
    email = Email.objects.get(cause=f"guest:{first.pk}/1")
    assert (email.kind, email.to) == ("qr_code", first.account.email)
    assert broken_invariants() == []


@committed
def test_an_image_that_cannot_be_deleted_does_not_stop_a_cancellation(guest: Guest) -> None:
    """Hooks after a commit go on although one of them fails: workers are still woken."""
    image = Path(default_storage.path(image_name(guest.qr_token or "")))
    image.unlink()
    (image / "directory").mkdir(parents=True)  # A file system does not delete it as a file.
    assert cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff()) == 1
    assert image.exists()
    guest.refresh_from_db()
    assert guest.state == "cancelled"


def test_cancelling_twice_gives_one_place(guest: Guest, manager: Any) -> None:
    for _ in range(2):
        cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    assert Event.objects.get().places_taken == 0


def test_who_leaves_the_waiting_line_frees_no_place(manager: Any) -> None:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    cancel_guests(event.pk, [waiting.pk], acting_user=manager)
    event.refresh_from_db()
    assert event.places_taken == 1
    assert broken_invariants() == []


def test_nobody_is_moved_up_once_the_event_is_over_or_cancelled(manager: Any) -> None:
    for over in ({"cancelled_at": timezone.now()}, {"ends_at": timezone.now()}):
        event = make_event(capacity=1)
        guest, waiting = make_guest(event), make_guest(event)
        Event.objects.filter(pk=event.pk).update(starts_at=timezone.now() - timedelta(1), **over)
        cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
        waiting.refresh_from_db()
        assert waiting.state == "waiting"


def test_more_places_go_to_those_who_wait_in_order() -> None:
    event = make_event(capacity=1)
    guests = [make_guest(event) for _ in range(4)]
    Event.objects.update(capacity=3)
    event.refresh_from_db()
    fill_free_places(event)
    states = [Guest.objects.get(pk=guest.pk).state for guest in guests]
    assert states == ["on_list"] * 3 + ["waiting"]
    assert broken_invariants() == []


@committed
def test_without_the_events_lock_cancelling_at_once_frees_a_place_twice() -> None:
    guest, staff = make_guest(), make_staff()
    make_guest(guest.event)

    def cancel() -> None:
        cancel_guests(guest.event_id, [guest.pk], acting_user=staff)

    work = without_locks(cancel, "guests_event")
    with slow("guests_event", "UPDATE"):
        at_once([work] * 2)
    (found,) = broken_invariants()
    assert found.endswith("1 on the list, 0 counted")


@committed
def test_with_it_cancelling_at_once_frees_it_once() -> None:
    event, staff = make_event(capacity=3), make_staff()
    guests = [make_guest(event) for _ in range(5)]
    with slow("guests_event", "UPDATE", seconds=0.05):
        at_once(
            [
                partial(cancel_guests, event.pk, [guest.pk], acting_user=staff)
                for guest in guests[:2]
                for _ in range(2)
            ]
        )
    states = [Guest.objects.get(pk=guest.pk).state for guest in guests]
    assert states == ["cancelled"] * 2 + ["on_list"] * 3
    assert broken_invariants() == []


# Tickets ---------------------------------------------------------------------------------------


def test_a_ticket_says_where_one_is_in_line() -> None:
    event = make_event(capacity=1)
    make_guest(event)
    make_guest(event)
    waiting = make_guest(event)
    ticket = ticket_of(GuestRequest.objects.get(guest=waiting))
    assert (ticket.state, ticket.position, ticket.qr_code_url) == ("waitlisted", 2, "")
    assert Ticket.from_message(ticket.as_message()) == ticket


def test_a_cancelled_guests_ticket_shows_no_code(guest: Guest, manager: Any) -> None:
    cancel_guests(guest.event_id, [guest.pk], acting_user=manager)
    ticket = ticket_of(GuestRequest.objects.get(guest=guest))
    assert (ticket.state, ticket.qr_code_url, ticket.pass_url) == ("cancelled", "", "")


def test_the_estimate_grows_with_what_is_pending() -> None:
    few, many = make_event(), make_event()
    for _ in range(3):
        make_request(few)
    for _ in range(2 * REQUESTS_PER_SECOND):
        make_request(many)
    assert estimated_seconds(few.pk) == 1
    assert estimated_seconds(many.pk) == 3
