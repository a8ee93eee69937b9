"""Requests as raw bytes, with values that no browser sends."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from django.test import Client

from accounts.models import User
from tests.factories import make_staff
from tests.helpers.sessions import cookie_of
from tests.helpers.stack import Stack

# Seconds that a server may take for a response.
PATIENCE = 10.0
HANDSHAKE = (
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)

ODD_TEXTS = [
    b"",
    b" ",
    b"0",
    b"-1",
    b"x" * 65,
    b"x" * 3000,
    b"9" * 40,
    b"null",
    b"undefined",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x8e\x89",
    b"\xc3\xa9",
    b"\t",
    b"\x7f",
    b"%0a",
    b"%0d%0aInjected:%201",
    b"%00",
    b"%ed%a0%80",
    b"%ff",
    b"%",
    b"%zz",
    b"..%2f..%2f",
    b"../../etc/passwd",
    b"'\"<>;",
    b"\\",
    b"//evil.example/",
    b"http://[",
    b"http://[::1",
    b"http://a:99999",
    b"http://a:-1/",
    b"http://a:b/",
    b"http://\xe9.example",
    b"https://xn--/",
    b"javascript:alert(1)",
    b"en;q=x",
    b"en;q=0." + b"9" * 100,
    b"zz-" + b"z" * 600,
    b"pt-pt,*;q=-1,,;;",
    b"bytes=0-",
    b"bytes=-99999999999999999999",
    b"bytes=9-1,2-x",
    b"Basic !!!",
    b"Bearer \xff",
    b"2026-13-45",
    b"a=b; =; ;; session=; csrf=\xff; language=\xff",
    b'session="x\\053\\"; language="\\777"; a]b=c; csrf',
    b"language=" + b"e" * 700,
    b"language=../../pt; session=a:b:c",
    b"sid\x1c=1; session=\x1d:\x1e:\x1f",
]
HEADERS = [
    b"Accept",
    b"Accept-Encoding",
    b"Accept-Language",
    b"Authorization",
    b"Cookie",
    b"Content-Type",
    b"Forwarded",
    b"HX-Boosted",
    b"HX-Current-URL",
    b"HX-Request",
    b"HX-Target",
    b"Idempotency-Key",
    b"If-Match",
    b"If-Modified-Since",
    b"If-None-Match",
    b"Origin",
    b"Range",
    b"Referer",
    b"User-Agent",
    b"X-CSRFToken",
    b"X-Forwarded-For",
    b"X-Forwarded-Host",
    b"X-Forwarded-Port",
    b"X-Forwarded-Proto",
    b"X-HTTP-Method-Override",
    b"X-Requested-With",
    b"X-Real-IP",
]


def send_raw(port: int, method: str, target: bytes, *lines: bytes, body: bytes = b"") -> int:
    """Send a request and return the status of the response, 0 if the server closes without one."""
    host = b"Host: localhost:%d" % port
    given = [line for line in lines if line]
    head = [b"%s %s HTTP/1.1" % (method.encode(), target), *given, b"Connection: close"]
    if not any(line.lower().startswith(b"host:") for line in given):
        head.insert(1, host)
    if body and not any(line.lower().startswith(b"content-length:") for line in given):
        head.append(b"Content-Length: %d" % len(body))
    with closing(socket.create_connection(("localhost", port), timeout=PATIENCE)) as sent:
        try:
            sent.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
            said = sent.recv(65_536)
        except ConnectionError:
            return 0
    return int(said.split(b" ", 2)[1]) if said.startswith(b"HTTP/") else 0


def failures(port: int, requests: list[tuple[Any, ...]]) -> list[str]:
    """Send requests, eight at a time, and return those whose response was a 5xx."""

    def send(request: tuple[Any, ...]) -> str:
        method, target, *lines = request
        body = b"a=b" if method == "POST" else b""
        status = send_raw(port, method, target, *lines, body=body)
        return f"{status} {request}" if status >= 500 else ""

    with ThreadPoolExecutor(8) as pool:
        return [failed for failed in pool.map(send, requests) if failed]


def cookie_header_of(account: User) -> bytes:
    """Return the Cookie header of a signed-in account, with a CSRF token."""
    return b"Cookie: csrf=" + b"t" * 32 + b"; " + cookie_of(account).encode()


def cookie_header_of_staff(stack: Stack) -> bytes:
    """Return the Cookie header of staff who signed in with a password, so that admin opens."""
    client = Client()
    client.force_login(make_staff(), backend="django.contrib.auth.backends.ModelBackend")
    return b"Cookie: csrf=" + b"t" * 32 + b"; session=" + client.cookies["session"].value.encode()


def request_socket(stack: Stack, target: bytes, *lines: bytes) -> int:
    """Ask for a websocket and return the status of the handshake, 0 if there is none."""
    head = [b"GET " + target + b" HTTP/1.1", b"Connection: Upgrade", *HANDSHAKE, *lines]
    if not any(line.lower().startswith(b"host:") for line in lines):
        head.insert(1, b"Host: localhost:%d" % stack.ws_port)
    with closing(socket.create_connection(("localhost", stack.ws_port), timeout=PATIENCE)) as sent:
        sent.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        said = sent.recv(4096)
    return int(said.split(b" ", 2)[1]) if said.startswith(b"HTTP/") else 0
