"""Cross-site requests, method overrides, open redirects, and data of other accounts."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from accounts.models import User
from guests.models import Guest, GuestRequest
from tests.factories import make_event, make_guest
from tests.helpers.visitors import rows, signed_step

pytestmark = pytest.mark.django_db

SAMPLES = {
    "int": "1",
    "str": "x",
    "slug": "festa-de-prova",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "promoter": "-",
    "event": "festa-de-prova",
    "path": "1",
}
# Methods that need a CSRF token.
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


def routes(patterns: Any = None, prefix: str = "/") -> Iterator[str]:
    """Yield a path for each route of the URL configuration."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        address = prefix + sample_of(pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern):
            yield address


def sample_of(pattern: Any) -> str:
    if not isinstance(pattern.pattern, RoutePattern):
        return "media/posters/x.png" if "posters" in str(pattern.pattern) else "x"
    address = str(pattern.pattern)
    for name, converter in pattern.pattern.converters.items():
        kind = type(converter).__name__.removesuffix("Converter").lower().replace("string", "str")
        for written in (f"<{kind}:{name}>", f"<{name}>"):
            address = address.replace(written, SAMPLES[kind])
    return address


ROUTES = sorted(set(routes()))


def test_the_walk_finds_every_route() -> None:
    assert len(ROUTES) > 60
    assert "/promo/festa-de-prova/-/phone/" in ROUTES
    assert "/api/client-auth/guests/create" in ROUTES
    assert "/admin/guests/guest/1/change/" in ROUTES
    assert "/admin/second-factor/" in ROUTES
    assert not [route for route in ROUTES if "<" in route]


@pytest.mark.parametrize("method", UNSAFE)
def test_every_unsafe_method_needs_a_csrf_token(method: str, manager: User) -> None:
    """The requests have the cookies of a superuser, and come from a page of another site."""
    event = make_event(slug="festa-de-prova")
    guest = make_guest(event)
    before = rows()
    attacker = Client(enforce_csrf_checks=True, raise_request_exception=False)
    attacker.force_login(manager)
    for route in ROUTES:
        response = attacker.generic(
            method, route, b"a=1", "application/x-www-form-urlencoded",
            headers={"origin": "https://evil.example"},
        )  # fmt: skip
        assert response.status_code in {400, 403, 404, 405}, (route, response.status_code)
    assert rows() == before
    guest.refresh_from_db()
    assert guest.is_on_list


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_overrides_the_method(client: Client, stranger: User, header: str) -> None:
    make_event(slug="festa-de-prova")
    client.force_login(stranger)
    for route in ROUTES:
        if route.startswith("/promo/") and "request" in route:
            client.get(route, headers={header: "POST"})
            client.get(route + "?_method=POST")
    client.post("/promo/", {"_method": "GET"}, headers={header: "GET"})
    assert GuestRequest.objects.count() == 0


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "GET", "PROPFIND", "get"]
)
def test_safe_and_unknown_methods_change_nothing(method: str, manager: User) -> None:
    guest = make_guest(make_event(slug="festa-de-prova"))
    before = rows()
    client = Client(raise_request_exception=False)
    client.force_login(manager)
    for route in ROUTES:
        response = client.generic(method, route)
        assert response.status_code < 500 or route == "/readyz", (route, response.status_code)
        if method in {"TRACE", "CONNECT", "PROPFIND"} and not route.startswith(
            ("/admin", "/readyz")
        ):
            assert response.status_code in {302, 404, 405}, route
    assert rows() == before
    guest.refresh_from_db()
    assert guest.is_on_list


@pytest.mark.parametrize(
    "where",
    [
        "//evil.example",
        "///evil.example",
        "https://evil.example/promo/",
        "\\\\evil.example",
        "/\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        " //evil.example",
        "/\t/evil.example",
        "http://testserver@evil.example/",
    ],
)
def test_no_redirect_leads_to_another_site(client: Client, manager: User, where: str) -> None:
    language = client.post("/i18n/setlang/", {"language": "en", "next": where})
    strict = Client(enforce_csrf_checks=True)
    csrf = strict.post("/sign-out/", headers={"referer": where})
    sign_in = client.post(
        "/admin/login/", {"username": manager.phone, "password": "a long password", "next": where}
    )
    out = client.get("/admin/logout/", {"next": where})
    for response in (language, csrf, sign_in, out):
        assert "evil" not in response.get("Location", "")
        assert "javascript" not in response.get("Location", "")
    assert 'href="' in csrf.content.decode()
    assert "evil" not in csrf.content.decode()


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example", "/\\evil.example/"])
def test_the_redirect_to_a_slash_leads_to_no_other_site(client: Client, path: str) -> None:
    location = client.generic("GET", path).get("Location", "")
    assert not location.startswith(("//", "/\\", "http"))


# Data of other accounts ---------------------------------------------------------------------------


def test_a_pass_of_another_shows_nothing_of_its_holder(
    client: Client, guest: Guest, stranger: User
) -> None:
    for account in (None, stranger):
        if account:
            client.force_login(account)
        page = client.get(f"/guest/{guest.qr_token}").content.decode()
        for secret in (guest.name, guest.phone or "", guest.account.email, "media/qr"):
            assert secret not in page


def test_a_ticket_of_another_does_not_exist(client: Client, guest: Guest, stranger: User) -> None:
    ticket = GuestRequest.objects.get(guest=guest).ticket_id
    api, page = (
        f"/api/client-auth/guests/requests/{ticket}",
        (f"/promo/{guest.event.slug}/ticket/{ticket}/"),
    )
    assert client.get(api).status_code == 404
    assert client.get(page).status_code == 302
    client.force_login(stranger)
    assert client.get(api).status_code == 404
    assert client.get(page).status_code == 404


def test_a_session_of_another_browser_is_not_taken_over(client: Client, guest: Guest) -> None:
    """Session fixation: signing in replaces a session that an attacker has planted."""
    client.get(f"/promo/{guest.event.slug}/-/phone/")
    phone = {"country": "PT", "phone": "961234567"}
    shown = client.post(f"/promo/{guest.event.slug}/-/phone/", phone, follow=True)
    planted = client.cookies["session"].value
    client.post(
        f"/promo/{guest.event.slug}/-/register/",
        {"first_name": "Inês", "last_name": "Exemplo", "email": "ines@example.com"}
        | signed_step(shown),
    )
    attacker = Client()
    attacker.cookies["session"] = planted
    assert "_auth_user_id" in client.session
    assert "_auth_user_id" not in attacker.session
