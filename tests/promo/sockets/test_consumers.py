"""Sockets of the real ws process: who may open one, and what it hears."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from guests.models import GuestRequest
from guests.requests.creating import create_due_guests
from tests.factories import make_account, make_event, make_guest, make_request
from tests.helpers import servers
from tests.helpers.sessions import cookie_of
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes


@contextmanager
def socket(
    stack: Stack,
    ticket_id: object,
    *,
    cookie: str = "",
    kind: str = "guest-updates",
    origin: str | None = "",
    **headers: str,
) -> Iterator[ClientConnection]:
    given = {"Cookie": cookie} | headers
    with connect(
        f"ws://localhost:{stack.ws_port}/ws/{kind}/{ticket_id}/",
        origin=stack.url if origin == "" else origin,  # type: ignore[arg-type]
        additional_headers={name: value for name, value in given.items() if value},
        open_timeout=10,
        proxy=None,
    ) as opened:
        yield opened


def status_of_refusal(stack: Stack, ticket_id: object, **how: str) -> int:
    with pytest.raises(InvalidStatus) as refused, socket(stack, ticket_id, **how):
        pytest.fail("the socket was opened")
    return refused.value.response.status_code


def hear(opened: ClientConnection) -> dict[str, object]:
    message: dict[str, object] = json.loads(opened.recv(timeout=10))
    return message


@pytest.fixture
def idle(stack: Stack) -> Iterator[Stack]:
    """The processes without anybody who would end a request."""
    with stack.frozen("worker"), stack.frozen("sweeper"):
        yield stack


def test_who_stands_in_line_hears_their_place(idle: Stack) -> None:
    event = make_event(limit_per_minute=1)
    make_request(event)
    request = make_request(event)
    with socket(idle, request.ticket_id, cookie=cookie_of(request.account)) as opened:
        heard = hear(opened)
    assert (heard["type"], heard["position"]) == ("guest_processing", 2)
    assert int(str(heard["estimated_completion"])) > 30


def test_the_owner_hears_the_present_state_and_then_the_news(idle: Stack) -> None:
    request = make_request()
    with socket(idle, request.ticket_id, cookie=cookie_of(request.account)) as opened:
        first = hear(opened)
        assert (first["type"], type(first["estimated_completion"])) == ("guest_processing", int)
        create_due_guests()
        guest = GuestRequest.objects.get(pk=request.pk).guest
        assert guest is not None
        assert hear(opened) == {
            "type": "guest_created",
            "success": True,
            "data": {"id": guest.pk, "qr_code_url": f"/media/qr/{guest.qr_token}.png"},
        }
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=10)
        assert opened.close_code == 1000


def test_a_result_that_came_before_the_socket_is_not_missed(idle: Stack) -> None:
    guest = make_guest()
    request = GuestRequest.objects.get(guest=guest)
    with socket(idle, request.ticket_id, cookie=cookie_of(guest.account)) as opened:
        assert hear(opened)["type"] == "guest_created"


def test_a_place_in_line_is_told_with_its_position(idle: Stack) -> None:
    event = make_event(capacity=1)
    make_guest(event)
    make_guest(event)
    second = make_guest(event)
    request = GuestRequest.objects.get(guest=second)
    with socket(idle, request.ticket_id, cookie=cookie_of(second.account)) as opened:
        assert hear(opened) == {
            "type": "guest_waitlisted",
            "success": True,
            "data": {"position": 2},
        }


def test_a_refusal_is_told_with_its_code(idle: Stack) -> None:
    event = make_event(capacity=1, has_waiting_list=False)
    request = make_request(event)
    late = make_request(event)
    create_due_guests()
    cookie = cookie_of(late.account)
    with socket(idle, late.ticket_id, cookie=cookie, **{"Accept-Language": "en"}) as opened:
        assert hear(opened) == {
            "type": "guest_creation_failed",
            "success": False,
            "error": "The list is full.",
            "code": "list_full",
        }
    assert GuestRequest.objects.get(pk=request.pk).state == "created"


@pytest.mark.parametrize(("language", "word"), [("en", "on the list"), ("pt-PT", "na lista")])
def test_pages_get_their_partial_in_their_language(idle: Stack, language: str, word: str) -> None:
    guest = make_guest()
    request = GuestRequest.objects.get(guest=guest)
    cookie = cookie_of(guest.account)
    headers = {"Accept-Language": language}
    with socket(idle, request.ticket_id, cookie=cookie, kind="promo", **headers) as opened:
        html = opened.recv(timeout=10)
    assert 'hx-swap-oob="true"' in html
    assert word in html
    assert "<html" not in html


def test_others_are_refused_before_the_socket_opens(stack: Stack) -> None:
    request, stranger = make_request(), make_account()
    own = cookie_of(request.account)
    assert status_of_refusal(stack, request.ticket_id) == 403
    assert status_of_refusal(stack, request.ticket_id, cookie=cookie_of(stranger)) == 403
    assert status_of_refusal(stack, uuid.uuid4(), cookie=own) == 403
    assert status_of_refusal(stack, "no-ticket", cookie=own) in {403, 404, 500}
    evil = "https://evil.example"
    assert status_of_refusal(stack, request.ticket_id, cookie=own, origin=evil) == 403


def test_a_session_that_was_ended_everywhere_opens_nothing(stack: Stack) -> None:
    request = make_request()
    cookie = cookie_of(request.account)
    request.account.sign_out_everywhere()
    assert status_of_refusal(stack, request.ticket_id, cookie=cookie) == 403


@pytest.mark.parametrize(
    "cookie", ["session=garbage", "session=", "=;=;;", "session=a:b:c", "session=" + "x" * 3000]
)
def test_garbage_for_a_session_is_refused(stack: Stack, cookie: str) -> None:
    assert status_of_refusal(stack, make_request().ticket_id, cookie=cookie) == 403


def test_what_a_page_says_is_not_listened_to_and_harms_nobody(idle: Stack) -> None:
    request = make_request()
    cookie = cookie_of(request.account)
    with socket(idle, request.ticket_id, cookie=cookie) as opened:
        hear(opened)
        noise: list[str | bytes] = [
            "{",
            "\0",
            "x" * 4000,
            b"\xff\xfe",
            '{"type": "ticket.changed"}',
        ]
        for said in noise * 20:
            opened.send(said)
        create_due_guests()
        assert hear(opened)["type"] == "guest_created"


def send_much(opened: ClientConnection) -> None:
    for _ in range(50):
        opened.send("x" * 1_000_000)


def test_a_socket_that_waits_holds_nothing_to_compress_with(idle: Stack) -> None:
    """Browsers offer it, and it would double what 5,000 sockets hold, for a message or two each."""
    request = make_request()
    with socket(idle, request.ticket_id, cookie=cookie_of(request.account)) as opened:
        asked = opened.request.headers if opened.request else {}
        assert "permessage-deflate" in asked["Sec-WebSocket-Extensions"]
        assert opened.protocol.extensions == []


def test_a_frame_beyond_all_measure_ends_only_its_own_socket(idle: Stack) -> None:
    request = make_request()
    cookie = cookie_of(request.account)
    with socket(idle, request.ticket_id, cookie=cookie) as bad:
        hear(bad)
        with socket(idle, request.ticket_id, cookie=cookie) as good:
            hear(good)
            with pytest.raises(ConnectionClosed):
                send_much(bad)
            create_due_guests()
            assert hear(good)["type"] == "guest_created"


def test_the_first_socket_after_a_restart_of_valkey_opens(idle: Stack) -> None:
    """The protection is the retry of the channel layer's connections, which finds them cut."""
    if servers.valkey is None:
        pytest.skip("only a server that the tests started may be stopped")
    request = make_request()
    cookie = cookie_of(request.account)
    with socket(idle, request.ticket_id, cookie=cookie) as opened:
        hear(opened)
    with idle.frozen("ws"):  # It has no time to find out by itself.
        servers.valkey.stop("immediate")
        servers.valkey.start()
    with socket(idle, request.ticket_id, cookie=cookie) as opened:
        assert hear(opened)["type"] == "guest_processing"
