"""No transaction waits for a network: Redis, storage and sockets are used outside of transactions.

The hooks are on redis-py, Django's storage, asyncio and sockets. psycopg does not use Python's
sockets.
"""

import asyncio
import socket
import traceback
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from redis import Redis
from redis.connection import AbstractConnection

from accounts.login_codes import send_login_code
from accounts.models import LoginCode, User
from guests.emergency.draining import drain
from guests.emergency.entries import Entry
from guests.emergency.journal import get_journal
from guests.emergency.replay import replay_requests
from guests.models import DeadEntry, Event, Guest, GuestRequest
from guests.requests.creating import create_due_guests
from guests.requests.waiting_list import cancel_guests, fill_free_places
from notifications.models import Email
from notifications.sending import send_due_emails
from notifications.services import queue_email
from tests.factories import make_account, make_event, make_guest, make_request, make_staff
from tests.helpers.admin import admin_url, change_event
from tests.helpers.images import image_bytes, upload
from tests.helpers.visitors import PHONE, Visitor

pytestmark = pytest.mark.django_db(transaction=True)

HOOKED: list[tuple[Any, str]] = [
    (Redis, "execute_command"),
    (AbstractConnection, "send_packed_command"),
    (FileSystemStorage, "save"),
    (FileSystemStorage, "open"),
    (FileSystemStorage, "delete"),
    (FileSystemStorage, "exists"),
    (socket.socket, "connect"),
    (socket.socket, "sendall"),
    (asyncio, "run_coroutine_threadsafe"),
]


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places where a hooked function was called while this thread had an open transaction."""
    found: list[str] = []

    def watch(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if connection.in_atomic_block:
                frames = traceback.extract_stack()
                ours = [frame for frame in frames if "site-packages" not in frame.filename][-2]
                found.append(f"{name} at {ours.filename}:{ours.lineno}")
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    for owner, name in HOOKED:
        watch(owner, name)
    return found


def register() -> None:
    visitor = Visitor(make_event())
    visitor.look()
    visitor.give_phone()
    visitor.register()
    assert GuestRequest.objects.exists()


def sign_in() -> None:
    account = make_account()
    visitor = Visitor(make_event())
    visitor.give_phone(account.phone or "")
    visitor.type_code(account)
    assert LoginCode.objects.filter(used_at__isnull=False).exists()


def request_and_create_by_api() -> None:
    event, visitor = make_event(), Visitor(make_event())
    visitor.signed_in(make_account())
    response = visitor.browser.post(
        "/api/client-auth/guests/create", {"event_id": event.pk}, content_type="application/json"
    )
    assert response.status_code == 200


def register_by_api() -> None:
    person = {"firstName": "Ana", "lastName": "Exemplo", "phone": PHONE, "email": "a@example.com"}
    response = Client().post("/api/client-auth/register", person, content_type="application/json")
    assert response.status_code == 201


def create_guests() -> None:
    event = make_event(capacity=1)
    for _ in range(3):
        make_request(event)
    create_due_guests()
    assert Guest.objects.count() == 3


def cancel_and_fill() -> None:
    event = make_event(capacity=1)
    guest = make_guest(event)
    for _ in range(3):
        make_guest(event)
    cancel_guests(guest.event_id, [guest.pk], acting_user=make_staff())
    Event.objects.update(capacity=3)
    event.refresh_from_db()
    fill_free_places(event)
    event.refresh_from_db()
    assert event.places_taken == 3


def as_staff() -> Client:
    client = Client()
    client.force_login(make_staff())
    return client


def save_an_event_with_a_poster() -> None:
    event = make_event(capacity=1)
    for _ in range(2):
        make_guest(event)
    event.refresh_from_db()
    response = change_event(as_staff(), event, capacity=2, poster=upload(image_bytes()))
    assert response.status_code == 302
    event.refresh_from_db()
    assert (event.places_taken, bool(event.poster)) == (2, True)


def cancel_in_admin() -> None:
    guest = make_guest()
    form = {"action": "cancel", "_selected_action": guest.pk, "confirmed": "yes"}
    as_staff().post(admin_url("guests_guest_changelist"), form)
    assert Guest.objects.get().state == "cancelled"


def give_an_account_another_phone() -> None:
    account = make_account()
    form = {
        "phone": "+351961234500",
        "first_name": "Ana",
        "last_name": "Exemplo",
        "email": account.email,
        "language": account.language,
        "is_active": "on",
    }
    as_staff().post(admin_url("accounts_user_change", account.pk), form)
    assert User.objects.filter(phone="+351961234500").exists()


def replay() -> None:
    make_request()
    GuestRequest.objects.update(state="dead", ended_at=Now())
    assert replay_requests(GuestRequest.objects.all()) == 1


def drain_the_journal() -> None:
    event = make_event()
    get_journal().accept(
        Entry(
            event_id=event.pk,
            event_slug=event.slug,
            phone=PHONE,
            first_name="Ana",
            last_name="Exemplo",
            email="ana@example.com",
            language="pt-pt",
        )
    )
    assert drain(get_journal()) == 1
    assert not DeadEntry.objects.exists()


def send_emails() -> None:
    account = make_account()
    queue_email("welcome", f"account:{account.pk}", to=account.email, language="pt-pt")
    assert send_due_emails() == 1


def send_a_code() -> None:
    send_login_code(make_account(), browser="b", address="192.0.2.1")
    assert Email.objects.filter(kind="login_code").exists()


def sweep() -> None:
    make_request()
    GuestRequest.objects.update(next_attempt_at=Now() - timedelta(minutes=1))
    call_command("sweeper", once=True)
    assert Guest.objects.exists()


def seed() -> None:
    call_command("seed_demo", stdout=StringIO())
    assert Event.objects.exists()


FLOWS: list[Callable[[], None]] = [
    register,
    register_by_api,
    sign_in,
    request_and_create_by_api,
    create_guests,
    cancel_and_fill,
    save_an_event_with_a_poster,
    cancel_in_admin,
    give_an_account_another_phone,
    replay,
    drain_the_journal,
    send_emails,
    send_a_code,
    sweep,
    seed,
]


@pytest.mark.slow
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_no_network_is_waited_for_inside_a_transaction(
    flow: Callable[[], None], caught: list[str]
) -> None:
    flow()
    assert caught == []


def test_the_hooks_see_calls_inside_a_transaction(caught: list[str]) -> None:
    """The test above would pass if the hooks saw nothing."""
    from guests.qr.codes import delete_image, make_token, store_image

    token = make_token()
    store_image(token)
    assert caught == []
    with transaction.atomic():
        delete_image(token)
        make_request()
    assert any("delete" in each for each in caught)
    assert any("execute_command" in each for each in caught)
