"""Paths, headers and queries as raw bytes: the real web process answers none with a 5xx.

Seeds are fixed, so a failure can be repeated.
"""

import random
from typing import Any
from urllib.parse import quote

import pytest

from guests.models import Guest, GuestRequest
from tests.factories import make_guest
from tests.helpers.raw_requests import (
    HEADERS,
    ODD_TEXTS,
    cookie_header_of,
    cookie_header_of_staff,
    failures,
)
from tests.helpers.routes import all_routes, fill_route
from tests.helpers.stack import Stack

QUERIES = [
    *("version", "lang", "format", "next", "for", "proof", "q", "p", "o", "e", "all", "_facets"),
    *("_popup", "_to_field", "page", "script", "term", "app_label", "model_name", "field_name"),
    *("is_staff__exact", "state", "pk__in", "created_at__gte", "account__password__startswith"),
]
# Characters of a path that `quote` leaves as they are.
SAFE = "/%:@-._~"
ODD_PIECES = [
    *("%ed%a0%80", "%ff%fe", "%00", "x" * 2000, "..", "%2e%2e%2f", "-", "_", "%0a", "é"),
    *("A" * 8 + "-0000-4000-8000-" + "A" * 12, "0", "9" * 30, "%25", "a%2fb", "%F0%9F%8E%89"),
]


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


@pytest.mark.slow
def test_no_path_causes_a_5xx(quiet: Stack, pieces: dict[str, str]) -> None:
    staff = cookie_header_of_staff(quiet)
    requests: list[tuple[Any, ...]] = []
    for route in all_routes():
        right = quote(fill_route(route, pieces), safe=SAFE).encode()
        for method in ("GET", "POST", "OPTIONS", "BREW"):
            requests.append((method, right, staff))
        for odd in random.Random(route).sample(ODD_PIECES, 2):
            wrong = quote(fill_route(route, {}, default=odd), safe=SAFE).encode()
            requests.append(("GET", wrong, staff))
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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_header_causes_a_5xx(quiet: Stack, pieces: dict[str, str], seed: int) -> None:
    chance = random.Random(seed)
    guest = cookie_header_of(Guest.objects.get().account)
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


@pytest.mark.slow
def test_no_query_causes_a_5xx(quiet: Stack, pieces: dict[str, str]) -> None:
    chance = random.Random(13)
    staff = cookie_header_of_staff(quiet)
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
