"""Paths, queries, methods and headers that no page of ours sends."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from guests.models import GuestRequest
from tests.factories import make_account, make_event, make_event_promoter, make_guest
from tests.helpers.odd_texts import LONG, MARKUP
from tests.helpers.visitors import TYPED_PHONE, Visitor, html_of, location_of, rows

pytestmark = pytest.mark.django_db


# Paths --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/promo/nothing-here/",
        "/promo/nothing-here/-/phone/",
        "/promo/nothing-here/calendar.ics",
        "/promo/nothing-here/ticket/{uuid}/",
        "/promo/{event}/🎉/phone/",
        "/promo/{event}/\u202e/phone/",
        "/promo/{event}/ticket/not-a-uuid/",
        "/promo/{event}/ticket/123/",
        "/promo/{event}/ticket/{uuid}x/",
        "/promo/{event}/ticket/٠٠٠٠٠٠٠٠-٠٠٠٠-٠٠٠٠-٠٠٠٠-٠٠٠٠٠٠٠٠٠٠٠٠/",
        "/promo/🎉/",
        "/promo/" + "a" * 10_000 + "/",
        "/promo/{event}/" + "a" * 10_000 + "/phone/",
        "/promo/../admin/../../etc/passwd",
        "/promo/%ff%fe/",
        "/promo/%ed%a0%80/",
        "/guest/x",
        "/guest/" + "a" * 10_000,
        "/guest/%ff",
        "/guest/🎉",
        "/guest/../secret",
        "/media/qr/x.png",
        "/media/qr/..%2F..%2Fsecret.png",
        "/media/qr/" + "a" * 10_000 + ".png",
        "/media/qr/🎉.png",
        "/media/qr/%ff.png",
        "/media/posters/..",
        "/media/posters/..%2Fqr",
        "/media/posters/" + "a" * 10_000,
        "/media/posters/%ff",
    ],
)
def test_a_missing_page_is_a_404(path: str) -> None:
    event = make_event()
    client = Client(headers={"accept-language": "en"})
    client.force_login(make_account())
    response = client.get(path.replace("{event}", event.slug).replace("{uuid}", str(uuid4())))
    assert response.status_code in {400, 404}
    assert "<h1" in html_of(response)


@pytest.mark.parametrize("where", ["{path}%00", "{path}?a=%00", "{path}?%00", "{path}?a=%2500"])
def test_null_bytes_in_addresses(where: str) -> None:
    guest = make_guest()
    visitor = Visitor(guest.event).signed_in(guest.account)
    paths = [visitor.event_url, visitor.step_url("phone"), f"/guest/{guest.qr_token}", "/promo/"]
    for path in paths:
        assert visitor.get(where.format(path=path)).status_code in {200, 400, 404}


@pytest.mark.parametrize(
    "query", ["?page=" + LONG, "?a=%ff", "?" + "a=1&" * 2000, "?🎉=\u202e", "?a[]="]
)
def test_unknown_queries_are_ignored(query: str) -> None:
    visitor = Visitor(make_event())
    for path in (visitor.event_url, visitor.step_url("phone"), "/promo/"):
        assert visitor.get(path + query).status_code in {200, 400}


def test_an_unpublished_event_is_not_found() -> None:
    event = make_event(is_published=False)
    visitor = Visitor(event).signed_in(make_account())
    assert visitor.look().status_code == visitor.send("request").status_code == 404
    assert visitor.get(f"/promo/{event.slug}/calendar.ics").status_code == 404
    assert event.title not in html_of(visitor.get("/promo/"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_an_unsupported_method_is_a_405(method: str) -> None:
    guest = make_guest()
    event = guest.event.slug
    ticket = GuestRequest.objects.get().ticket_id
    client = Client()
    client.force_login(guest.account)
    before = rows()
    for path in (
        "/promo/",
        f"/promo/{event}/",
        f"/promo/{event}/calendar.ics",
        f"/promo/{event}/ticket/{ticket}/",
        f"/guest/{guest.qr_token}",
        f"/media/qr/{guest.qr_token}.png",
    ):
        assert client.generic(method, path).status_code == 405, path
    if method != "POST":
        for step in ("phone", "code", "register", "request"):
            assert client.generic(method, f"/promo/{event}/-/{step}/").status_code == 405
    assert rows() == before


def test_head_is_a_get_without_a_body() -> None:
    guest = make_guest()
    client = Client()
    for path in ("/promo/", f"/promo/{guest.event.slug}/", f"/guest/{guest.qr_token}"):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")


# Headers ------------------------------------------------------------------------------------------

COOKIES = [
    "session=garbage",
    "session=" + "a" * 7000,
    "session=.eJx:1:garbage; csrf=\x07",
    "session=\xff\xfe",
    "=;;==,,",
    "session",
    "language=" + "a" * 5000,
    "language=../../etc/passwd; messages=garbage",
    'a="\\"; session="',
]


@pytest.mark.parametrize("cookie", COOKIES, ids=lambda cookie: repr(cookie)[:24])
def test_malformed_cookies_are_no_session(cookie: str) -> None:
    event = make_event()
    client = Client(HTTP_COOKIE=cookie)
    assert client.get(f"/promo/{event.slug}/").status_code == 200
    response = client.post(f"/promo/{event.slug}/-/request/")
    assert location_of(response) == f"/promo/{event.slug}/-/phone/"
    response = client.post(f"/promo/{event.slug}/-/phone/", {"country": "PT", "phone": TYPED_PHONE})
    assert location_of(response) == f"/promo/{event.slug}/-/register/"


def test_a_changed_session_cookie_is_no_session() -> None:
    visitor = Visitor(make_event()).signed_in(make_account())
    cookie = visitor.browser.cookies["session"].value
    for at in (3, len(cookie) // 2, len(cookie) - 3):
        changed = cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :]
        visitor.browser.cookies["session"] = changed
        assert location_of(visitor.send("request")) == visitor.step_url("phone")


@pytest.mark.parametrize(
    "host", ["evil.example", "a b", "", "testserver:x", "[::1", "é", "a" * 5000]
)
def test_a_foreign_host_is_refused(host: str) -> None:
    event = make_event()
    response = Client(HTTP_HOST=host).get(f"/promo/{event.slug}/")
    if host:
        assert response.status_code == 400
        assert "<h1" in html_of(response)
    assert b"evil.example" not in response.content


@pytest.mark.parametrize(
    "accepted",
    [
        "",
        "*",
        ",,,;;;",
        "xx-XX",
        "en;q=nan",
        "a" * 10_000,
        "pt," * 5000,
        "\xff",
        "en;q=1e999",
        "../..",
    ],
    ids=lambda value: repr(value)[:16],
)
def test_malformed_languages_are_ignored(accepted: str) -> None:
    event = make_event()
    assert Client(HTTP_ACCEPT_LANGUAGE=accepted).get(f"/promo/{event.slug}/").status_code == 200


@pytest.mark.parametrize("length", ["-1", "9" * 30, "many"])
def test_an_invalid_content_length_is_refused(length: str) -> None:
    visitor = Visitor(make_event())
    assert visitor.get(visitor.event_url, headers={"Content-Length": length}).status_code == 413


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HX-Request", "maybe"),
        ("HX-Current-URL", "\xff://"),
        ("HX-Target", MARKUP),
        ("X-Forwarded-For", "1.2.3.4, evil"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "gopher"),
        ("Referer", "\xff"),
        ("Range", "bytes=9-1"),
        ("If-Modified-Since", "yesterday"),
        ("Accept", "\xff/*"),
        ("User-Agent", LONG),
    ],
)
def test_malformed_headers_are_ignored(name: str, value: str) -> None:
    visitor = Visitor(make_event())
    for path in (visitor.event_url, visitor.step_url("phone"), "/promo/"):
        response = visitor.get(path, headers={name: value})
        assert response.status_code == 200
        assert b"evil.example" not in response.content
        assert MARKUP.encode() not in response.content


# Stored text --------------------------------------------------------------------------------------


def test_texts_that_staff_write_are_escaped() -> None:
    event = make_event(title=MARKUP, venue=MARKUP, description=MARKUP, address=MARKUP)
    works = make_event_promoter(event)
    works.promoter.name = MARKUP
    works.promoter.save()
    account = make_account(first_name=MARKUP, last_name=MARKUP)
    guest = make_guest(event, account)
    visitor = Visitor(event, works.promoter.code).signed_in(account)
    pages = [visitor.look(), visitor.get("/promo/"), visitor.open("phone")]
    pages.append(visitor.get(location_of(visitor.send("request"))))
    pages.append(visitor.get(f"/guest/{guest.qr_token}"))
    for page in pages:
        assert page.status_code == 200
        assert MARKUP.encode() not in page.content
    assert visitor.get(reverse("promo:calendar", args=[event.slug])).status_code == 200
