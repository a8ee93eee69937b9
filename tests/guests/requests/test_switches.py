"""Requests while staff have turned workers, batches, the pool or the line off, and on again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from guests.models import Event, Guest, GuestRequest, PooledQr
from guests.qr.codes import fill_pool, image_name, make_ahead, read_image
from guests.requests.accepting import request_place, wake_guests_worker
from guests.requests.creating import create_due_guests, create_guests_for_event
from guests.requests.waiting_list import cancel_guests
from tests.factories import make_account, make_accounts, make_event, make_staff
from tests.helpers.api import CREATE_ASYNC, post_json
from tests.helpers.invariants import broken_invariants
from tests.helpers.scans import scan
from tests.helpers.switches import turn_off, turn_on
from tests.helpers.visitors import Visitor, html_of, with_and_without_htmx

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _all_is_well() -> Iterator[None]:
    yield
    assert not broken_invariants()


def ask(event: Event, size: int) -> list[GuestRequest]:
    return [request_place(event, account) for account in make_accounts(size)]


# Async creation -----------------------------------------------------------------------------------


def register(event: Event, *, htmx: bool = True) -> str:
    visitor = Visitor(event, htmx=htmx)
    visitor.give_phone()
    return html_of(visitor.register())


def test_workers_create_the_guest_while_async_creation_is_on() -> None:
    page = register(make_event())
    assert "Holding your place" in page
    assert not Guest.objects.exists()
    create_due_guests()
    assert Guest.objects.count() == 1


@with_and_without_htmx
def test_the_response_has_the_qr_code_while_async_creation_is_off(htmx: bool) -> None:
    turn_off("async_creation")
    visitor = Visitor(make_event(), htmx=htmx)
    visitor.give_phone()
    response = visitor.register()
    if not htmx:
        response = visitor.browser.get(response["Location"])
    assert Guest.objects.get().qr_token
    assert f"qr/{Guest.objects.get().qr_token}.png" in html_of(response)


def created(client: Client, event: Event) -> int:
    client.force_login(make_account())
    return post_json(client, CREATE_ASYNC, {"event_id": event.pk}).status_code


def test_the_call_answers_with_the_guest_while_async_creation_is_off(client: Client) -> None:
    event = make_event()
    assert created(client, event) == 202
    turn_off("async_creation")
    assert created(client, event) == 200
    turn_on("async_creation")
    assert created(client, event) == 202


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_on", [True, False])
def test_a_worker_is_woken_only_while_async_creation_is_on(
    is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr(wake_guests_worker.__class__, "__call__", lambda self: woken.append(1))
    if not is_on:
        turn_off("async_creation")
    request_place(make_event(), make_account())
    assert bool(woken) is is_on
    create_due_guests()


# Batching -----------------------------------------------------------------------------------------


def test_a_worker_ends_requests_together_while_batching_is_on() -> None:
    event = make_event()
    ask(event, 3)
    assert create_guests_for_event(event.pk) == 3


def test_a_worker_ends_one_request_at_a_time_while_batching_is_off() -> None:
    event = make_event()
    ask(event, 3)
    turn_off("batching")
    assert create_guests_for_event(event.pk) == 1
    assert Guest.objects.count() == 1
    assert create_due_guests(pause=60) == 2, "without a pause between two of them"
    turn_on("batching")
    ask(event, 3)
    assert create_guests_for_event(event.pk) == 3


def test_the_order_holds_while_batching_is_off() -> None:
    turn_off("batching")
    event = make_event(capacity=2)
    ask(event, 4)
    create_due_guests()
    states = Guest.objects.order_by("queue_number").values_list("state", flat=True)
    assert list(states) == ["on_list", "on_list", "waiting", "waiting"]


# The pool -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_codes_made_ahead_stay_while_the_pool_is_off() -> None:
    make_ahead(3)
    ahead = set(PooledQr.objects.values_list("token", flat=True))
    turn_off("qr_pool")
    ask(make_event(), 2)
    create_due_guests()
    assert set(PooledQr.objects.values_list("token", flat=True)) == ahead
    for guest in Guest.objects.all():
        token = guest.qr_token or ""
        assert token not in ahead
        assert default_storage.exists(image_name(token))
        assert token in scan(read_image(token))
    turn_on("qr_pool")
    ask(make_event(), 2)
    create_due_guests()
    assert PooledQr.objects.count() == 1, "the pool is used again"


def test_the_pool_is_not_filled_while_it_is_off() -> None:
    turn_off("qr_pool")
    assert fill_pool(3) == 3, "for the guests of this thread"
    assert fill_pool(3) == 0
    assert not PooledQr.objects.exists()
    turn_on("qr_pool")
    assert fill_pool(5) == 2
    turn_off("qr_pool")
    call_command("pregenerate_qr", make_event().slug, "7")
    assert PooledQr.objects.count() == 7, "the command fills it for later"


@pytest.mark.django_db(transaction=True)
def test_codes_that_were_drawn_while_the_pool_was_off_go_to_the_next_guests() -> None:
    """No image is left over."""
    default_storage.save("qr/of-another-test.png", ContentFile(b""))
    before = set(default_storage.listdir("qr")[1])
    turn_off("qr_pool")
    fill_pool(3)
    turn_on("qr_pool")
    ask(make_event(), 2)
    create_due_guests()
    tokens = [guest.qr_token or "" for guest in Guest.objects.all()]
    tokens += PooledQr.objects.values_list("token", flat=True)
    stored = set(default_storage.listdir("qr")[1]) - before
    assert stored == {f"{token}.png" for token in tokens}


def test_images_are_stored_before_guests_are_created_while_the_pool_is_off(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "qr").write_text("no folder")
    turn_off("qr_pool")
    event = make_event()
    ask(event, 2)
    media, settings.MEDIA_ROOT = settings.MEDIA_ROOT, tmp_path
    with pytest.raises(OSError, match="qr"):
        create_due_guests()
    assert not Guest.objects.exists(), "nobody has a code without an image"
    settings.MEDIA_ROOT = media
    create_due_guests()
    for guest in Guest.objects.all():
        assert default_storage.exists(image_name(guest.qr_token or ""))
    assert Guest.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_those_who_wait_are_promoted_while_the_pool_is_off() -> None:
    event = make_event(capacity=1)
    ask(event, 2)
    create_due_guests()
    turn_off("qr_pool")
    first = Guest.objects.get(state="on_list")
    cancel_guests(event.pk, [first.pk], acting_user=make_staff())
    promoted = Guest.objects.get(state="on_list")
    assert promoted.qr_token


# The line -----------------------------------------------------------------------------------------


def in_line() -> int:
    return GuestRequest.objects.pending().filter(next_attempt_at__gt=Now()).count()


@pytest.fixture
def narrow(settings: Settings) -> Event:
    """An event that takes two requests a minute."""
    settings.LIMIT_EVENT = 2
    return make_event()


def test_newcomers_wait_in_line_while_pacing_is_on(narrow: Event) -> None:
    ask(narrow, 4)
    assert in_line() == 2


def test_nobody_waits_in_line_while_pacing_is_off(narrow: Event) -> None:
    turn_off("admission_pacing")
    ask(narrow, 4)
    assert in_line() == 0
    create_due_guests()
    assert Guest.objects.count() == 4
    turn_on("admission_pacing")
    ask(narrow, 3)
    assert in_line() == 1


def test_those_in_line_go_on_when_pacing_is_turned_off(narrow: Event) -> None:
    ask(narrow, 4)
    failed = GuestRequest.objects.order_by("pk").first()
    assert failed is not None
    GuestRequest.objects.filter(pk=failed.pk).update(
        attempts=1, next_attempt_at="2999-01-01T00:00Z"
    )
    call_command("sweeper", once=True)
    assert in_line() == 3
    turn_off("admission_pacing")
    call_command("sweeper", once=True)
    assert in_line() == 1, "a request that has failed keeps its pause"
    create_due_guests()
    GuestRequest.objects.pending().update(next_attempt_at=Now())
    create_due_guests()
    assert Guest.objects.count() == 4
