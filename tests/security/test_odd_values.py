"""Values that no form and no serializer sees: headers, queries, paths, Origins and cookies.

Everything is sent as bytes to the real processes. Seeds are fixed, so a failure comes back.
"""

import random
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from guests.models import Guest, GuestRequest
from tests.factories import make_account, make_event, make_guest, make_request, make_staff
from tests.helpers.sessions import cookie_of
from tests.helpers.stack import Stack
from tests.helpers.visitors import Visitor

API = "/api/client-auth/guests/"
PATIENCE = 10.0

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
QUERIES = [
    *("version", "lang", "format", "next", "for", "proof", "q", "p", "o", "e", "all", "_facets"),
    *("_popup", "_to_field", "page", "script", "term", "app_label", "model_name", "field_name"),
    *("is_staff__exact", "state", "pk__in", "created_at__gte", "account__password__startswith"),
]


def ask(port: int, method: str, target: bytes, *lines: bytes, body: bytes = b"") -> int:
    """Send a request as it is, and return the status; 0 if the server hung up on it."""
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
    """Send requests, eight at a time, and return those that were answered with a 5xx."""

    def send(request: tuple[Any, ...]) -> str:
        method, target, *lines = request
        body = b"a=b" if method == "POST" else b""
        status = ask(port, method, target, *lines, body=body)
        return f"{status} {request}" if status >= 500 else ""

    with ThreadPoolExecutor(8) as pool:
        return [failed for failed in pool.map(send, requests) if failed]


@pytest.fixture
def quiet(stack: Stack) -> Iterator[Stack]:
    """The processes. None may write of an error during the test, and `ws` no traceback at all."""
    starts = {name: len(stack.log(name)) for name in ("web", "ws")}
    yield stack
    time.sleep(0.2)
    said = {name: stack.log(name)[start:] for name, start in starts.items()}
    assert "Internal Server Error" not in said["web"]
    assert "Traceback" not in said["ws"], said["ws"]


def cookies(account: User) -> bytes:
    return b"Cookie: csrf=" + b"t" * 32 + b"; " + cookie_of(account).encode()


# The API's own -----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "key", ["x" * 65, "x" * 5000, "a\tb", "a b", "\x1f", "é", "\xff", "\ud83c\udf89", "\x7f"]
)
@pytest.mark.parametrize("call", ["create", "create-async"])
def test_an_idempotency_key_is_checked(call: str, key: str) -> None:
    account, event = make_account(), make_event()
    visitor = Visitor(event).signed_in(account)
    response = visitor.browser.post(
        API + call,
        {"event_id": event.pk},
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY=key,
    )
    assert response.status_code == 400
    told = response.json()
    assert (told["success"], told["code"], list(told["fields"])) == (
        False,
        "invalid",
        ["Idempotency-Key"],
    )
    assert not GuestRequest.objects.exists()


@pytest.mark.django_db
def test_a_key_of_64_characters_is_taken() -> None:
    event = make_event()
    visitor = Visitor(event).signed_in(make_account())
    for _ in range(2):
        response = visitor.browser.post(
            API + "create-async",
            {"event_id": event.pk},
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY="~" * 64,
        )
        assert response.status_code in {200, 202}
    assert GuestRequest.objects.get().idempotency_key == "~" * 64


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [
        "http://evil.example",
        "Ana www.evil.example",
        "🎉",
        "<b>Ana</b>",
        "Ana\r\nBcc: x",
        "=1+1",
        "x" * 122,
        "\ud800",
        "\u202e\u202d",
        "1\x00",
        None,
        ["Ana"],
        {"a": 1},
        True,
    ],
)
def test_a_name_in_a_create_call_is_cleaned_as_at_registration(name: Any) -> None:
    event = make_event()
    visitor = Visitor(event).signed_in(make_account())
    response = visitor.browser.post(
        API + "create", {"event_id": event.pk, "name": name}, content_type="application/json"
    )
    assert response.status_code == 400, response.json()
    assert list(response.json()["fields"]) == ["name"]
    assert not GuestRequest.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("  Ana \u200e  Luísa ", "Ana Luísa"),
        ("Ine\u0302s d'Exemplo-Silva", "Inês d'Exemplo-Silva"),
        ("A" * 60 + " " + "B" * 60, "A" * 60 + " " + "B" * 60),
        ("", "Rita"),
        ("   ", "Rita"),
    ],
)
def test_a_name_in_a_create_call_is_kept_as_people_write_it(name: str, kept: str) -> None:
    event = make_event()
    visitor = Visitor(event).signed_in(make_account(last_name=""))
    visitor.browser.post(
        API + "create-async", {"event_id": event.pk, "name": name}, content_type="application/json"
    )
    assert GuestRequest.objects.get().name == kept


@pytest.mark.parametrize(
    "query",
    [
        "version=%0a",
        "version=2",
        "version=%0d%0aX:1",
        "lang=%0a",
        "lang=xx",
        "lang=../../etc",
        "lang=" + "x" * 600,
        "format=xml",
        "format=%0a",
        "version=%ff",
        "lang=%00",
    ],
)
@pytest.mark.django_db
def test_what_a_query_asks_of_the_schema_is_checked(client: Client, query: str) -> None:
    assert 400 <= client.get(f"/api/schema/?{query}").status_code < 500
    assert client.get("/api/schema/?lang=en&version=1&format=json").status_code == 200


# Everything, over HTTP ---------------------------------------------------------------------------


def addresses(
    resolver: URLResolver | None = None, before: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Yield each address of the URL configuration as text with `{}` for each of its converters."""
    for pattern in (resolver or get_resolver()).url_patterns:
        where = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, where)
        elif isinstance(pattern, URLPattern):
            yield where, list(pattern.pattern.converters)


def filled(route: str, pieces: dict[str, str], odd: str | None = None) -> str:
    """Return a path with each converter replaced by a right value, or by an odd one."""
    path = ""
    while "<" in route:
        before, _, rest = route.partition("<")
        name, _, route = rest.partition(">")
        known = pieces.get(name.rpartition(":")[2], "1")
        path += before + (known if odd is None else odd)
    return "/" + (path + route).strip("^$").replace("\\", "")


@pytest.fixture
def pieces(stack: Stack) -> dict[str, str]:
    guest = make_guest()
    return {
        "event": guest.event.slug,
        "promoter": "-",
        "ticket_id": str(GuestRequest.objects.get().ticket_id),
        "token": guest.qr_token or "",
        "object_id": str(guest.pk),
    }


ODD_PIECES = ["%ed%a0%80", "%ff%fe", "%00", "x" * 2000, "..", "%2e%2e%2f", "-", "_", "%0a", "é"]
ODD_PIECES += [
    "A" * 8 + "-0000-4000-8000-" + "A" * 12,
    "0",
    "9" * 30,
    "%25",
    "a%2fb",
    "%F0%9F%8E%89",
]


def test_no_path_is_too_odd(quiet: Stack, pieces: dict[str, str]) -> None:
    staff = cookies_with_password(quiet)
    requests: list[tuple[Any, ...]] = []
    for route, _ in addresses():
        for odd in [None, *random.Random(route).sample(ODD_PIECES, 2)]:
            target = quote(filled(route, pieces, odd), safe="/%:@-._~").encode()
            requests.append(("GET", target, staff))
            if odd is None:
                requests += [(method, target, staff) for method in ("POST", "OPTIONS", "BREW")]
    for strange in (
        b"//",
        b"/%00",
        b"/\xff",
        b"/%ed%a0%80",
        b"/.%2f",
        b"*",
        b"/a?b#c",
        b"/?\xff=\xfe",
    ):
        requests.append(("GET", strange))
    assert failures(quiet.web_port, requests) == []


def cookies_with_password(stack: Stack) -> bytes:
    """Return the cookies of staff that are signed in to admin, in whatever process answers."""
    client = Client()
    client.force_login(make_staff(), backend="django.contrib.auth.backends.ModelBackend")
    return b"Cookie: csrf=" + b"t" * 32 + b"; session=" + client.cookies["session"].value.encode()


@pytest.mark.parametrize("seed", range(2))
def test_no_header_is_too_odd(quiet: Stack, pieces: dict[str, str], seed: int) -> None:
    chance = random.Random(seed)
    guest = cookies(Guest.objects.get().account)
    token = b"X-CSRFToken: " + b"t" * 32
    paths = ["/promo/", "/promo/{event}/", "/promo/{event}/-/phone/", "/guest/{token}", "/inbox/"]
    paths += ["/media/qr/{token}.png", "/api/events", "/api/schema/", "/admin/login/", "/metrics"]
    paths += ["/promo/{event}/ticket/{ticket_id}/", "/static/css/base.css", "/nowhere", "/api/x"]
    paths += ["/challenge/", "/promo/{event}/calendar.ics", "/readyz", "/i18n/setlang/"]
    paths += ["/sign-out/", "/api/client-auth/guests/create", "/api/client-auth-v2/check-phone"]
    requests: list[tuple[Any, ...]] = []
    for header in HEADERS:
        for odd in chance.sample(ODD_TEXTS, 12):
            path = chance.choice(paths).format(**pieces).encode()
            method = chance.choice(["GET", "GET", "POST", "HEAD"])
            cookie = b"" if header == b"Cookie" else chance.choice([guest, b""])
            requests.append((method, path, header + b": " + odd, cookie, token))
    for odd in [*ODD_TEXTS, b"localhost:99999", b"localhost:x", b"[::1", b"a" * 300, b"a,b"]:
        requests.append(("GET", b"/promo/", b"Host: " + odd))
        requests.append(("POST", b"/promo/", b"Content-Length: " + odd))
    assert failures(quiet.web_port, requests) == []


def test_no_query_is_too_odd(quiet: Stack, pieces: dict[str, str]) -> None:
    chance = random.Random(13)
    staff = cookies_with_password(quiet)
    paths = ["/promo/", "/promo/{event}/", "/api/events", "/api/schema/", "/api/docs/", "/inbox/"]
    paths += ["/challenge/", "/challenge/new", "/challenge/waited", "/admin/login/", "/admin/"]
    paths += ["/admin/guests/guest/", "/admin/guests/event/", "/admin/accounts/user/"]
    paths += ["/admin/autocomplete/", "/admin/jsi18n/", "/admin/notifications/email/", "/metrics"]
    requests: list[tuple[Any, ...]] = []
    for name in QUERIES:
        for odd in chance.sample(ODD_TEXTS, 10):
            path = chance.choice(paths).format(**pieces).encode()
            value = odd.replace(b" ", b"+").replace(b"\t", b"%09").replace(b"#", b"%23")
            requests.append(("GET", path + b"?" + name.encode() + b"=" + value, staff))
    assert failures(quiet.web_port, requests) == []


# Sockets -----------------------------------------------------------------------------------------

HANDSHAKE = (
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)


def knock(stack: Stack, target: bytes, *lines: bytes) -> int:
    """Ask for a socket and return the status."""
    head = [b"GET " + target + b" HTTP/1.1", b"Connection: Upgrade", *HANDSHAKE, *lines]
    if not any(line.lower().startswith(b"host:") for line in lines):
        head.insert(1, b"Host: localhost:%d" % stack.ws_port)
    with closing(socket.create_connection(("localhost", stack.ws_port), timeout=PATIENCE)) as sent:
        sent.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        said = sent.recv(4096)
    return int(said.split(b" ", 2)[1]) if said.startswith(b"HTTP/") else 0


@pytest.fixture
def ticket(quiet: Stack) -> Iterator[GuestRequest]:
    with quiet.frozen("worker"), quiet.frozen("sweeper"):
        yield make_request()


def test_sockets_to_nowhere_are_refused(quiet: Stack, ticket: GuestRequest) -> None:
    cookie, origin = cookies(ticket.account), b"Origin: " + quiet.url.encode()
    own = str(ticket.ticket_id)
    right = f"/ws/promo/{own}/".encode()
    assert knock(quiet, right, cookie, origin) == 101
    wrong = ["/", "/ws/", "/ws/promo/", f"/ws/promo/{own}", f"/ws/promo/{own.upper()}/"]
    wrong += [f"/ws/promo/{own}/x", f"/ws/promo/{own}%0a/", f"/ws/promo/{own}/%0a", "/ws/promo/x/"]
    wrong += [f"/ws/nothing/{own}/", f"/ws/promo/{uuid.UUID(own).hex}/", "/promo/", "/%00"]
    wrong += [f"/ws/promo/{uuid.uuid4()}/", "/ws/promo/%ed%a0%80/", "/ws/promo/" + "x" * 3000 + "/"]
    for path in wrong:
        assert knock(quiet, path.encode(), cookie, origin) in {403, 404}, path
    for odd in (b"/\xff\xfe", b"*", b"http://[/", b"//", b"/?\xff"):
        assert knock(quiet, odd, cookie, origin) in {0, 400, 403, 404}, odd


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
def test_origins_that_are_none_are_refused(
    quiet: Stack, ticket: GuestRequest, origin: bytes
) -> None:
    path = f"/ws/promo/{ticket.ticket_id}/".encode()
    cookie = cookies(ticket.account)
    assert knock(quiet, path, cookie, b"Origin: " + origin) in {0, 400, 403}
    twice = [b"Origin: " + quiet.url.encode(), b"Origin: " + origin]
    assert knock(quiet, path, cookie, *twice) in {0, 400, 403}
    assert knock(quiet, path, cookie, *reversed(twice)) in {0, 400, 403}


def test_no_handshake_is_too_odd(quiet: Stack, ticket: GuestRequest) -> None:
    chance = random.Random(6)
    origin = b"Origin: " + quiet.url.encode()
    path = f"/ws/promo/{ticket.ticket_id}/".encode()
    names = [*HEADERS, b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"X-Nothing"]
    for odd in ODD_TEXTS:
        for name in chance.sample(names, 6):
            if name == b"Origin":
                continue
            own = b"" if name == b"Cookie" else cookies(ticket.account)
            lines = [line for line in (own, origin, name + b": " + odd) if line]
            assert knock(quiet, path, *lines) in {0, 101, 400, 403}, (name, odd)
        session = cookie_of(ticket.account).encode()
        together = b"Cookie: " + odd + b"; " + session
        assert knock(quiet, path, together, origin) in {0, 101, 400, 403}, odd
        assert knock(quiet, path, b"Cookie: " + session, origin, b"Host: " + odd) < 500, odd
    opened = knock(quiet, path, cookies(ticket.account), origin)
    assert opened == 101


FRAMES = [
    b"\x81\x82\0\0\0\0\xff\xfe",  # text that is no UTF-8
    b"\x82\x82\0\0\0\0\xff\xfe",
    b"\x83\x80\0\0\0\0",  # an unknown kind of frame
    b"\x81\x02ab",  # without a mask
    b"\x80\x80\0\0\0\0",  # the rest of nothing
    b"\x88\x82\0\0\0\0\x03\x00",  # a close with a code that nobody may send
    b"\x88\x81\0\0\0\0\x03",
    b"\x89\xfe\x00\xff\0\0\0\0" + b"x" * 255,  # a ping that is too long
    b"\xf1\x80\0\0\0\0",  # reserved bits
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # of 2**64 bytes
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("frame", FRAMES)
def test_no_frame_is_too_odd(quiet: Stack, ticket: GuestRequest, frame: bytes) -> None:
    head = [
        f"GET /ws/promo/{ticket.ticket_id}/ HTTP/1.1".encode(),
        b"Host: localhost:%d" % quiet.ws_port,
        b"Connection: Upgrade",
        *HANDSHAKE,
        b"Origin: " + quiet.url.encode(),
        cookies(ticket.account),
    ]
    with closing(socket.create_connection(("localhost", quiet.ws_port), timeout=PATIENCE)) as sent:
        sent.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        assert sent.recv(4096).startswith(b"HTTP/1.1 101")
        sent.sendall(frame)
        time.sleep(0.1)
