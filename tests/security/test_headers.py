"""Security headers on every kind of response."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import User
from guests.models import Guest
from guests.qr.codes import image_name
from snap.local.processes import BASE_DIR
from snap.middleware import add_browser_headers
from tests.factories import make_guest
from tests.helpers.stack import Stack

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Data for search engines (JSON-LD) is not run.
INLINE = re.compile(
    r"<style|\sstyle=|\son[a-z]+=|javascript:"
    r'|<script(?![^>]*\bsrc=)(?! type="application/ld\+json">)[^>]*>[^<]*\S',
    re.IGNORECASE,
)


def policy_of(headers: Any) -> dict[str, list[str]]:
    directives = (part.split() for part in headers["content-security-policy"].split(";"))
    return {name: values for name, *values in directives}


def assert_is_strict(headers: Any) -> None:
    policy = policy_of(headers)
    for name in ("script-src", "style-src"):
        assert policy[name] == ["'self'"]
    for name in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[name] == ["'none'"]
    assert policy["form-action"] == ["'self'"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "*" not in headers["content-security-policy"].replace("ws://*:", "")


def all_responses(stack: Stack, guest: Guest) -> dict[str, httpx.Response]:
    """Return a response of the real web process of every kind."""
    slug = guest.event.slug
    with httpx.Client(base_url=stack.url, headers={"accept-language": "en"}) as client:
        home = client.get("/promo/")
        static = re.search(r'href="(/static/css/base[^"]*)"', home.text)
        icon = re.search(r'href="(/static/img/icon[^"]*)"', home.text)
        assert static
        assert icon
        paths = {
            "page": "/promo/",
            "event": f"/promo/{slug}/",
            "step": f"/promo/{slug}/-/phone/",
            "pass": f"/guest/{guest.qr_token}",
            "calendar": f"/promo/{slug}/calendar.ics",
            "media": f"/media/{image_name(guest.qr_token or '')}",
            "api": "/api/client-auth/guests/create",
            "admin": "/admin/login/",
            "redirect": "/admin/",
            "not found": "/nothing/here",
            "bad request": "/promo/%00/",
            "static": static[1],
            "icon": icon[1],
            "static not found": "/static/nothing.js",
            "health": "/healthz",
        }
        found = {name: client.get(path) for name, path in paths.items()}
        found["csrf"] = client.post("/sign-out/")
        found["method"] = client.delete("/promo/")
        found["too large"] = client.post("/promo/", content=b"x" * 300_000)
        return found


@pytest.mark.processes
def test_every_response_of_the_web_process_has_security_headers(stack: Stack) -> None:
    for name, response in all_responses(stack, make_guest()).items():
        expected = dict(ALWAYS)
        if name == "media":
            expected["cross-origin-resource-policy"] = "same-site"
        headers = {header: response.headers.get(header) for header in expected}
        assert headers == expected, name
        assert_is_strict(response.headers)
        if response.headers.get("content-type", "").startswith("text/html"):
            assert "camera=()" in response.headers["permissions-policy"], name
            assert not INLINE.search(response.text), name
        assert "server" not in response.headers or "/" not in response.headers["server"], name
        assert "access-control-allow-origin" not in response.headers or name in {"static", "icon"}


@pytest.mark.django_db
def test_admin_has_neither_inline_script_nor_style(client: Client, manager: User) -> None:
    guest = make_guest()
    client.force_login(manager)
    for name, arguments in (
        ("index", []),
        ("guests_guest_changelist", []),
        ("guests_guest_change", [guest.pk]),
        ("guests_event_change", [guest.event_id]),
        ("guests_event_add", []),
        ("accounts_user_change", [guest.account_id]),
        ("second_factor", []),
        ("password_change", []),
    ):
        response = client.get(reverse(f"admin:{name}", args=arguments))
        assert response.status_code == 200
        assert_is_strict(response.headers)
        found = INLINE.search(response.content.decode())
        assert not found, (name, found)


def test_a_page_can_allow_its_own_camera() -> None:
    def door(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"Permissions-Policy": "camera=(self)"})

    handler: Callable[[HttpRequest], HttpResponse] = add_browser_headers(door)
    assert handler(RequestFactory().get("/"))["Permissions-Policy"] == "camera=(self)"


PRODUCTION = """
import django, json
django.setup()
from django.test import Client
client = Client(headers={"host": "snap.example"})
secure = client.get("/healthz", secure=True)
signed = client.get("/admin/login/", secure=True)
language = client.post("/i18n/setlang/", {"language": "en"}, secure=True)
plain = client.get("/promo/")
print(json.dumps({
    "hsts": secure["Strict-Transport-Security"],
    "csp": secure["Content-Security-Policy"],
    "cookies": [
        [str(name), bool(c["secure"]), bool(c["httponly"]), c["samesite"], c["path"], c["domain"]]
        for response in (signed, language) for name, c in response.cookies.items()
    ],
    "redirect": [plain.status_code, plain["Location"]],
}))
"""


def test_production_uses_https_only(stack: Stack) -> None:
    """The stack is used because it has collected the static files that pages need."""
    given = {name: stack.env[name] for name in ("PATH", "DATABASE_URL", "REDIS_URL", "STATIC_ROOT")}
    env = given | {
        "DJANGO_SETTINGS_MODULE": "snap.settings",
        "SECRET_KEY": "x" * 64,
        "PUBLIC_URL": "https://snap.example",
        "METRICS_TOKEN": "x" * 32,
        # Variables that `make run` may have left in var/env.
        "ALLOWED_HOSTS": "snap.example",
        "WEBSOCKET_PORT": "0",
        "EMAIL_PROVIDER": "smtp",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-c", PRODUCTION]
    done = subprocess.run(
        command, env=env, cwd=BASE_DIR, capture_output=True, text=True, check=True
    )
    printed = json.loads(done.stdout)
    assert printed["hsts"] == "max-age=31536000; includeSubDomains; preload"
    assert "ws:" not in printed["csp"]
    assert {cookie[0] for cookie in printed["cookies"]} == {
        "__Host-csrf",
        "__Host-language",
        "__Host-session",
    }
    for cookie in printed["cookies"]:
        assert cookie[1:] == [True, True, "Lax", "/", ""]
    assert printed["redirect"] == [301, "https://snap.example/promo/"]
