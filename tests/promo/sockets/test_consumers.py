"""Sockets of the real ws process: who may open one, and which messages it receives."""

import uuid

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from guests.models import GuestRequest
from guests.requests.creating import create_due_guests
from tests.factories import make_account, make_event, make_guest, make_request
from tests.helpers.own_servers import own_valkey
from tests.helpers.sessions import cookie_of
from tests.helpers.sockets import open_socket, receive, refused_status
from tests.helpers.stack import Stack

pytestmark = pytest.mark.processes


def test_a_request_with_a_later_turn_receives_its_position(idle: Stack) -> None:
    event = make_event(limit_per_minute=1)
    make_request(event)
    request = make_request(event)
    with open_socket(idle, request.ticket_id, cookie=cookie_of(request.account)) as opened:
        message = receive(opened)
    assert (message["type"], message["position"]) == ("guest_processing", 2)
    assert int(str(message["estimated_completion"])) > 30


def test_the_owner_receives_the_present_state_and_then_changes(idle: Stack) -> None:
    request = make_request()
    with open_socket(idle, request.ticket_id, cookie=cookie_of(request.account)) as opened:
        first = receive(opened)
        assert (first["type"], type(first["estimated_completion"])) == ("guest_processing", int)
        create_due_guests()
        guest = GuestRequest.objects.get(pk=request.pk).guest
        assert guest is not None
        assert receive(opened) == {
            "type": "guest_created",
            "success": True,
            "data": {
                "id": guest.pk,
                "qr_code_url": f"/media/qr/{guest.qr_token}.png",
                "place": "valid",
                "eventState": "upcoming",
            },
        }
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=10)
        assert opened.close_code == 1000


def test_a_result_that_came_before_the_socket_is_not_missed(idle: Stack) -> None:
    guest = make_guest()
    request = GuestRequest.objects.get(guest=guest)
    with open_socket(idle, request.ticket_id, cookie=cookie_of(guest.account)) as opened:
        assert receive(opened)["type"] == "guest_created"


def test_a_guest_on_the_waiting_list_receives_their_position(idle: Stack) -> None:
    event = make_event(capacity=1)
    make_guest(event)
    make_guest(event)
    second = make_guest(event)
    request = GuestRequest.objects.get(guest=second)
    with open_socket(idle, request.ticket_id, cookie=cookie_of(second.account)) as opened:
        assert receive(opened) == {
            "type": "guest_waitlisted",
            "success": True,
            "data": {"position": 2, "place": "waiting", "eventState": "upcoming"},
        }


def test_a_refusal_is_received_with_its_code(idle: Stack) -> None:
    event = make_event(capacity=1, has_waiting_list=False)
    request = make_request(event)
    late = make_request(event)
    create_due_guests()
    cookie = cookie_of(late.account)
    with open_socket(idle, late.ticket_id, cookie=cookie, **{"Accept-Language": "en"}) as opened:
        assert receive(opened) == {
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
    with open_socket(idle, request.ticket_id, cookie=cookie, kind="promo", **headers) as opened:
        html = opened.recv(timeout=10)
    assert 'hx-swap-oob="true"' in html
    assert word in html
    assert "<html" not in html


def test_other_accounts_and_origins_are_refused_before_the_socket_opens(stack: Stack) -> None:
    request, stranger = make_request(), make_account()
    own = cookie_of(request.account)
    assert refused_status(stack, request.ticket_id) == 403
    assert refused_status(stack, request.ticket_id, cookie=cookie_of(stranger)) == 403
    assert refused_status(stack, uuid.uuid4(), cookie=own) == 403
    assert refused_status(stack, "no-ticket", cookie=own) in {403, 404, 500}
    evil = "https://evil.example"
    assert refused_status(stack, request.ticket_id, cookie=own, origin=evil) == 403


def test_a_session_that_was_ended_everywhere_opens_nothing(stack: Stack) -> None:
    request = make_request()
    cookie = cookie_of(request.account)
    request.account.sign_out_everywhere()
    assert refused_status(stack, request.ticket_id, cookie=cookie) == 403


@pytest.mark.parametrize(
    "cookie", ["session=garbage", "session=", "=;=;;", "session=a:b:c", "session=" + "x" * 3000]
)
def test_a_malformed_session_is_refused(stack: Stack, cookie: str) -> None:
    assert refused_status(stack, make_request().ticket_id, cookie=cookie) == 403


def test_messages_from_a_page_are_ignored(idle: Stack) -> None:
    request = make_request()
    cookie = cookie_of(request.account)
    with open_socket(idle, request.ticket_id, cookie=cookie) as opened:
        receive(opened)
        noise: list[str | bytes] = [
            "{",
            "\0",
            "x" * 4000,
            b"\xff\xfe",
            '{"type": "ticket.changed"}',
        ]
        for message in noise * 20:
            opened.send(message)
        create_due_guests()
        assert receive(opened)["type"] == "guest_created"


def send_much(opened: ClientConnection) -> None:
    for _ in range(50):
        opened.send("x" * 1_000_000)


def test_sockets_do_not_compress(idle: Stack) -> None:
    """Compression, which browsers offer, would double the memory of 5,000 waiting sockets."""
    request = make_request()
    with open_socket(idle, request.ticket_id, cookie=cookie_of(request.account)) as opened:
        headers = opened.request.headers if opened.request else {}
        assert "permessage-deflate" in headers["Sec-WebSocket-Extensions"]
        assert opened.protocol.extensions == []


def test_an_oversized_frame_ends_only_its_own_socket(idle: Stack) -> None:
    request = make_request()
    cookie = cookie_of(request.account)
    with open_socket(idle, request.ticket_id, cookie=cookie) as bad:
        receive(bad)
        with open_socket(idle, request.ticket_id, cookie=cookie) as good:
            receive(good)
            with pytest.raises(ConnectionClosed):
                send_much(bad)
            create_due_guests()
            assert receive(good)["type"] == "guest_created"


def test_the_first_socket_after_a_restart_of_valkey_opens(idle: Stack) -> None:
    """The channel layer's connections are cut then, and are opened again by a retry."""
    valkey = own_valkey()
    request = make_request()
    cookie = cookie_of(request.account)
    with open_socket(idle, request.ticket_id, cookie=cookie) as opened:
        receive(opened)
    with idle.frozen("ws"):  # It cannot notice the cut before the next socket.
        valkey.stop("immediate")
        valkey.start()
    with open_socket(idle, request.ticket_id, cookie=cookie) as opened:
        assert receive(opened)["type"] == "guest_processing"
