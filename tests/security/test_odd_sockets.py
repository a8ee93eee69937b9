"""Handshakes and frames as raw bytes: the real ws process refuses them without a traceback.

Seeds are fixed, so a failure can be repeated.
"""

import random
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from guests.models import GuestRequest
from tests.factories import make_request
from tests.helpers.raw_requests import (
    HANDSHAKE,
    HEADERS,
    ODD_TEXTS,
    PATIENCE,
    cookie_header_of,
    request_socket,
)
from tests.helpers.sessions import cookie_of
from tests.helpers.stack import Stack


@pytest.fixture
def ticket(quiet: Stack) -> Iterator[GuestRequest]:
    with quiet.frozen("worker"), quiet.frozen("sweeper"):
        yield make_request()


def test_sockets_at_unknown_paths_are_refused(quiet: Stack, ticket: GuestRequest) -> None:
    cookie, origin = cookie_header_of(ticket.account), b"Origin: " + quiet.url.encode()
    own = str(ticket.ticket_id)
    right = f"/ws/promo/{own}/".encode()
    assert request_socket(quiet, right, cookie, origin) == 101
    wrong = ["/", "/ws/", "/ws/promo/", f"/ws/promo/{own}", f"/ws/promo/{own.upper()}/"]
    wrong += [f"/ws/promo/{own}/x", f"/ws/promo/{own}%0a/", f"/ws/promo/{own}/%0a", "/ws/promo/x/"]
    wrong += [f"/ws/nothing/{own}/", f"/ws/promo/{uuid.UUID(own).hex}/", "/promo/", "/%00"]
    wrong += [f"/ws/promo/{uuid.uuid4()}/", "/ws/promo/%ed%a0%80/", "/ws/promo/" + "x" * 3000 + "/"]
    wrong += ["/ws/staff/", "/ws/staff/-", "/ws/staff/-/", "/ws/staff/-/x", "/ws/staff/%00/"]
    for path in wrong:
        assert request_socket(quiet, path.encode(), cookie, origin) in {403, 404}, path
    for odd in (b"/\xff\xfe", b"*", b"http://[/", b"//", b"/?\xff"):
        assert request_socket(quiet, odd, cookie, origin) in {0, 400, 403, 404}, odd


@pytest.mark.parametrize(
    "origin",
    [
        b"http://a:99999",
        b"http://[",
        b"http://[::1",
        b"http://a:-1",
        b"http://a:b",
        b"http://",
        b"\xff\xfe",
        b"null",
        b"",
        b"localhost",
        b"http://localhost:0",
        b"http://\xe9",
        b"//",
        b"a" * 9000,
        b"http://localhost\tx",
        b"http://localhost@evil.example",
        b"http://localhost%00.evil.example",
    ],
)
def test_invalid_origins_are_refused(quiet: Stack, ticket: GuestRequest, origin: bytes) -> None:
    path = f"/ws/promo/{ticket.ticket_id}/".encode()
    cookie = cookie_header_of(ticket.account)
    assert request_socket(quiet, path, cookie, b"Origin: " + origin) in {0, 400, 403}
    twice = [b"Origin: " + quiet.url.encode(), b"Origin: " + origin]
    assert request_socket(quiet, path, cookie, *twice) in {0, 400, 403}
    assert request_socket(quiet, path, cookie, *reversed(twice)) in {0, 400, 403}


@pytest.mark.slow
def test_no_handshake_causes_an_error(quiet: Stack, ticket: GuestRequest) -> None:
    chance = random.Random(6)
    origin = b"Origin: " + quiet.url.encode()
    path = f"/ws/promo/{ticket.ticket_id}/".encode()
    names = [*HEADERS, b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"X-Nothing"]
    for odd in ODD_TEXTS:
        for name in chance.sample(names, 6):
            if name == b"Origin":
                continue
            own = b"" if name == b"Cookie" else cookie_header_of(ticket.account)
            lines = [line for line in (own, origin, name + b": " + odd) if line]
            assert request_socket(quiet, path, *lines) in {0, 101, 400, 403}, (name, odd)
        session = cookie_of(ticket.account).encode()
        together = b"Cookie: " + odd + b"; " + session
        assert request_socket(quiet, path, together, origin) in {0, 101, 400, 403}, odd
        assert request_socket(quiet, path, b"Cookie: " + session, origin, b"Host: " + odd) < 500, (
            odd
        )
    opened = request_socket(quiet, path, cookie_header_of(ticket.account), origin)
    assert opened == 101


FRAMES = [
    b"\x81\x82\0\0\0\0\xff\xfe",  # invalid UTF-8
    b"\x82\x82\0\0\0\0\xff\xfe",
    b"\x83\x80\0\0\0\0",  # an unknown kind of frame
    b"\x81\x02ab",  # without a mask
    b"\x80\x80\0\0\0\0",  # a continuation without a start
    b"\x88\x82\0\0\0\0\x03\x00",  # a close with an invalid code
    b"\x88\x81\0\0\0\0\x03",
    b"\x89\xfe\x00\xff\0\0\0\0" + b"x" * 255,  # a ping that is too long
    b"\xf1\x80\0\0\0\0",  # reserved bits
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # of 2**64 bytes
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("frame", FRAMES)
def test_no_frame_causes_an_error(quiet: Stack, ticket: GuestRequest, frame: bytes) -> None:
    head = [
        f"GET /ws/promo/{ticket.ticket_id}/ HTTP/1.1".encode(),
        b"Host: localhost:%d" % quiet.ws_port,
        b"Connection: Upgrade",
        *HANDSHAKE,
        b"Origin: " + quiet.url.encode(),
        cookie_header_of(ticket.account),
    ]
    with closing(socket.create_connection(("localhost", quiet.ws_port), timeout=PATIENCE)) as sent:
        sent.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        assert sent.recv(4096).startswith(b"HTTP/1.1 101")
        sent.sendall(frame)
        time.sleep(0.1)


@pytest.mark.slow
def test_nobody_chooses_the_address_that_counts(quiet: Stack, ticket: GuestRequest) -> None:
    """uvicorn itself would trust X-Forwarded-For, from this machine or from FORWARDED_ALLOW_IPS."""
    cookie, origin = cookie_header_of(ticket.account), b"Origin: " + quiet.url.encode()
    path = f"/ws/promo/{ticket.ticket_id}/".encode()
    forged = [b"X-Forwarded-For: 198.51.100.%d" % number for number in (1, 2)]
    quiet.restart("ws", LIMIT_SOCKETS_ADDRESS="1", FORWARDED_ALLOW_IPS="*", WEB_CONCURRENCY="2")
    try:
        assert [request_socket(quiet, path, cookie, origin, each) for each in forged] == [101, 403]
    finally:
        quiet.restart("ws")
