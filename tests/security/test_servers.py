"""Slow, endless and malformed traffic against the real granian and uvicorn.

Each test keeps its attack going while an ordinary visitor must be served. The numbers are small,
because the tests check whether one client can block others, and not how many clients it takes.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.factories import make_event, make_request
from tests.helpers.sessions import cookie_of
from tests.helpers.sockets import open_socket, receive
from tests.helpers.stack import Stack, http, wait_for

pytestmark = pytest.mark.processes

PATIENCE = 20.0  # seconds that a visitor may wait on a busy machine
SLOW = 60  # connections, several times the threads of web
# `/` responds with 302, and a form whose body is not read with 403.
REFUSALS = {b"302", b"400", b"403", b"413", b"414", b"431", b"505"}


@contextmanager
def connections(port: int, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Hold connections open that have sent only these bytes."""
    with ExitStack() as held:
        opened = []
        for _ in range(count):
            each = held.enter_context(socket.create_connection(("localhost", port), timeout=10))
            each.sendall(sent)
            opened.append(each)
        yield opened


def assert_visitors_are_served(stack: Stack, slug: str) -> None:
    with httpx.Client(base_url=stack.url, timeout=PATIENCE) as visitor:
        for _ in range(5):
            assert visitor.get(f"/promo/{slug}/").status_code == 200
        assert visitor.get("/healthz").status_code == 200


def request_head(stack: Stack, length: int, path: str = "/promo/x/-/phone/") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{stack.web_port}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("sent", [b"", b"GET /promo/ HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_endless_headers_do_not_block_visitors(stack: Stack, sent: bytes) -> None:
    event = make_event()
    with connections(stack.web_port, SLOW, sent) as held:
        for _ in range(3):
            assert_visitors_are_served(stack, event.slug)
            for each in held:
                each.sendall(b"x" if sent else b"")


def test_endless_bodies_do_not_block_visitors(stack: Stack) -> None:
    event = make_event()
    head = request_head(stack, 10_000, f"/promo/{event.slug}/-/phone/")
    with connections(stack.web_port, SLOW, head + b"phone=") as held:
        for _ in range(3):
            assert_visitors_are_served(stack, event.slug)
            for each in held:
                each.sendall(b"9")


def test_clients_that_never_read_do_not_block_visitors(stack: Stack) -> None:
    event = make_event()
    ask = f"GET /promo/{event.slug}/ HTTP/1.1\r\nHost: localhost:{stack.web_port}\r\n\r\n".encode()
    with ExitStack() as held:
        for _ in range(SLOW):
            each = held.enter_context(socket.socket())
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            each.connect(("localhost", stack.web_port))
            each.sendall(ask * 5)
        assert_visitors_are_served(stack, event.slug)


def test_an_announced_gigabyte_is_refused_before_it_is_sent(stack: Stack) -> None:
    with connections(stack.web_port, 1, request_head(stack, 10**9)) as (one,):
        assert one.recv(200).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"GET http://evil.example/promo/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /promo/ HTTP/1.1\r\nHost: localhost\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    ],
    ids=lambda sent: repr(sent[:40]),
)
def test_malformed_http_is_refused(stack: Stack, sent: bytes) -> None:
    with socket.create_connection(("localhost", stack.web_port), timeout=10) as raw:
        raw.settimeout(10)
        try:
            raw.sendall(sent)
            response = raw.recv(300)
        except (ConnectionError, TimeoutError):
            response = b""
    status = response.split(b" ", 2)[1:2]
    assert status in ([], [b"302"], [b"400"], [b"403"], [b"413"], [b"414"], [b"431"], [b"505"]), (
        response
    )
    assert b"evil.example" not in response
    assert http.get(f"{stack.url}/healthz", timeout=PATIENCE).status_code == 200


# Sockets ------------------------------------------------------------------------------------------


def test_endless_handshakes_do_not_block_visitors(idle: Stack) -> None:
    request = make_request()
    sent = b"GET /ws/promo/x/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    cookie = cookie_of(request.account)
    with (
        connections(idle.ws_port, SLOW, sent),
        open_socket(idle, request.ticket_id, cookie=cookie) as opened,
    ):
        assert receive(opened)["type"] == "guest_processing"


def test_many_sockets_of_one_client_do_not_block_visitors(idle: Stack) -> None:
    attacker, visitor = make_request(), make_request()
    cookie = cookie_of(attacker.account)
    with ExitStack() as held:
        sockets = [
            held.enter_context(open_socket(idle, attacker.ticket_id, cookie=cookie))
            for _ in range(60)
        ]
        for each in sockets:
            for _ in range(30):
                each.send("x" * 4000)
        with open_socket(idle, visitor.ticket_id, cookie=cookie_of(visitor.account)) as opened:
            assert receive(opened)["type"] == "guest_processing"


def send_and_hear(opened: ClientConnection, sent: str) -> None:
    opened.send(sent)
    opened.recv(timeout=PATIENCE)


def test_a_frame_of_sixteen_megabytes_closes_the_socket(idle: Stack) -> None:
    request = make_request()
    with open_socket(idle, request.ticket_id, cookie=cookie_of(request.account)) as opened:
        receive(opened)
        with pytest.raises(ConnectionClosed):
            send_and_hear(opened, "x" * 16_000_000)
        assert opened.close_code in {1009, 1006}
    assert memory_of(idle.pid("ws")) < 400


def test_a_forged_session_opens_no_socket(idle: Stack) -> None:
    request = make_request()
    data, stamp, signature = cookie_of(request.account).rsplit(":", 2)
    forged = f"{data}:{stamp}:{signature[::-1]}"
    with (
        pytest.raises(Exception, match="403"),
        open_socket(idle, request.ticket_id, cookie=forged),
    ):
        pytest.fail("the socket was opened")


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "http://localhost.evil.example", "file://"]
)
def test_a_page_of_another_origin_opens_no_socket(idle: Stack, origin: str | None) -> None:
    request = make_request()
    cookie = cookie_of(request.account)
    with (
        pytest.raises(Exception, match="403"),
        open_socket(idle, request.ticket_id, cookie=cookie, origin=origin),
    ):
        pytest.fail("the socket was opened")


def memory_of(pid: int) -> int:
    """Return the resident megabytes of a process."""
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def test_the_processes_are_healthy_after_the_attacks(stack: Stack) -> None:
    wait_for(lambda: http.get(f"{stack.url}/readyz").json()["level"] == 1, PATIENCE)
    assert memory_of(stack.pid("web")) < 400
