"""Leaks outside of pages: caches, metrics, the inbox, logs, and responses in an outage."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as the_settings
from django.core.exceptions import SuspiciousOperation
from django.test import Client
from pytest_django import Settings

from accounts.exceptions import AccountError
from accounts.services import register
from guests.emergency.snapshots import save_event
from guests.models import Guest, GuestRequest
from snap.local.processes import BASE_DIR
from snap.observability.logs import PlainFormatter
from snap.observability.redaction import hide_secrets
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers import servers
from tests.helpers.outages import open_breaker
from tests.helpers.routes import all_routes, fill_route
from tests.helpers.sessions import session_of
from tests.helpers.stack import Stack, http
from tests.helpers.visitors import Visitor, html_of

AWAY: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.7"}

# Caches -------------------------------------------------------------------------------------------

# Routes whose responses may be cached, and why.
KEPT = {
    "media/qr/<str:token>.png": "its address is as secret as the image, which never changes",
    "media/previews/<str:name>": "previews are public, under a name that never changes",
    "robots.txt": "it is the same for all",
    "^media/posters/(?P<name>\\w[\\w.-]*)$": "posters are public, under a name that never changes",
}


def address_of(route: str, guest: Guest) -> str:
    pieces = {
        "event": guest.event.slug,
        "promoter": "-",
        "ticket_id": str(GuestRequest.objects.get(guest=guest).ticket_id),
        "token": guest.qr_token or "",
        "url": "guests",
        "content_type_id": "1",
        "app_label": "guests",
    }
    path = fill_route(route, pieces, default=str(guest.pk))
    return path.replace("(?P", "").replace(")", "")


@pytest.mark.slow
@pytest.mark.django_db
def test_responses_with_personal_data_are_not_cached(settings: Settings) -> None:
    settings.INBOX_PAGE = True
    guest = make_guest()
    visitor = Visitor(guest.event).signed_in(guest.account)
    staff = Client()
    staff.force_login(make_staff(), backend="django.contrib.auth.backends.ModelBackend")
    walked = 0
    for route in all_routes():
        if route in KEPT:
            continue
        path = address_of(route, guest)
        for client in (Client(), visitor.browser, staff):
            for response in (client.get(path), client.post(path, {"phone": "961234567"})):
                cache_control = response.headers.get("Cache-Control", "")
                assert "no-store" in cache_control, (path, response.status_code, cache_control)
                assert "public" not in cache_control, path
                walked += 1
    assert walked > 600


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    ["/", "/nothing/here", "/promo/%00/", "/api/nothing", "/guest/x", "/media/qr/x.png"],
)
def test_errors_are_not_cached(client: Client, path: str) -> None:
    assert "no-store" in client.get(path).headers["Cache-Control"]


@pytest.mark.processes
def test_static_files_are_cached(stack: Stack) -> None:
    page = http.get(f"{stack.url}/promo/").text
    path = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in http.get(stack.url + path).headers["cache-control"]


# Metrics ------------------------------------------------------------------------------------------

PRODUCTION = {
    "SECRET_KEY": "x" * 64,
    "PUBLIC_URL": "https://snap.example",
    "DATABASE_URL": "postgres://localhost/snap",
    "REDIS_URL": "redis://localhost",
    "EMAIL_PROVIDER": "smtp",
    "DJANGO_SETTINGS_MODULE": "snap.settings",
    "PYTHONWARNINGS": "ignore",
}


def start(module: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], **PRODUCTION, "METRICS_TOKEN": "", **env}
    command = [sys.executable, "-c", f"import {module}; print('started')"]
    return subprocess.run(command, env=given, cwd=BASE_DIR, capture_output=True, text=True)


@pytest.mark.parametrize("module", ["snap.wsgi", "snap.asgi"])
@pytest.mark.parametrize("how", [{}, {"PUBLIC_URL": "http://snap.example", "TRUSTED_PROXIES": "1"}])
def test_production_does_not_start_without_a_token_for_metrics(
    module: str, how: dict[str, str]
) -> None:
    refused = start(module, **how)
    assert refused.returncode == 1
    assert refused.stderr.startswith("SNAP cannot start: METRICS_TOKEN must be set ")


@pytest.mark.slow
def test_production_starts_with_a_token() -> None:
    assert start("snap.wsgi", METRICS_TOKEN="y" * 32).stdout == "started\n"


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto"]
)
def test_a_proxy_on_this_machine_does_not_open_metrics(client: Client, header: str) -> None:
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


# The inbox ----------------------------------------------------------------------------------------


@pytest.fixture
def inbox(tmp_path: Path, settings: Settings) -> str:
    """An inbox with one email, and the email's address."""
    settings.INBOX_PAGE, settings.INBOX_DIR = True, tmp_path
    settings.INBOX_TOKEN = "right-key-of-this-inbox"
    name = "20261127T101010123456-0123abcd"
    (tmp_path / f"{name}.eml").write_text(
        "Subject: 123456 is your code\nMIME-Version: 1.0\n"
        "Content-Type: text/html\n\n<head></head><img src='cid:qr'>\n"
    )
    return f"/inbox/{name}/"


def test_another_machine_needs_the_key_of_the_inbox(inbox: str) -> None:
    for headers in ({}, {"x-forwarded-for": "127.0.0.1"}, {"cookie": "inbox=wrong"}):
        client = Client(headers=headers, **AWAY)
        for path in ("/inbox/", inbox, f"{inbox}html/", f"{inbox}qr", "/inbox/?key=x"):
            response = client.get(path)
            assert response.status_code == 404, path
            assert b"is your code" not in response.content


def test_a_proxy_on_this_machine_opens_no_inbox(inbox: str, client: Client) -> None:
    assert client.get("/inbox/").status_code == 200
    assert client.get("/inbox/", headers={"x-forwarded-for": "192.0.2.7"}).status_code == 404


def test_the_printed_address_opens_the_inbox_on_another_machine(inbox: str) -> None:
    client = Client(**AWAY)
    first = client.get("/inbox/?key=right-key-of-this-inbox")
    assert (first.status_code, first["Location"]) == (302, "/inbox/")
    assert client.cookies["inbox"]["path"] == "/inbox/"
    assert client.cookies["inbox"]["httponly"]
    assert client.get("/inbox/").status_code == client.get(inbox).status_code == 200
    # The frame is sandboxed, and sends no cookie for its images.
    shown = client.get(f"{inbox}html/").content.decode()
    assert f"src='{inbox}qr?key=right-key-of-this-inbox'" in shown


def test_without_a_key_only_this_machine_opens_the_inbox(inbox: str, settings: Settings) -> None:
    settings.INBOX_TOKEN = ""
    for path in ("/inbox/", "/inbox/?key=", inbox):
        assert Client(**AWAY).get(path).status_code == 404
    assert Client().get("/inbox/").status_code == 200


# Outages ------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_only_the_browser_of_a_ticket_sees_that_it_is_queued() -> None:
    event = make_event()
    save_event(event)
    owner, stranger = Visitor(event).signed_in(make_account()), Visitor(event)
    owner.browser.cookies["session"] = session_of(make_account())
    curious = Visitor(event)
    curious.browser.cookies["session"] = session_of(make_account())
    with open_breaker():
        response = owner.browser.post(
            "/api/client-auth/guests/create",
            {"event_id": event.pk},
            content_type="application/json",
        )
        ticket = response.json()["ticketId"]
        page = f"/promo/{event.slug}/ticket/{ticket}/"
        call = f"/api/client-auth/guests/requests/{ticket}"
        assert owner.get(call).json()["state"] == "queued"
        assert "queued" in html_of(owner.get(page))
        for visitor in (curious, stranger):
            for path in (page, call):
                response = visitor.get(path)
                assert response.status_code == 404
                assert "queued" not in html_of(response)
                assert event.title not in html_of(response)
        # Another host may have accepted a ticket that this one does not know, so the page retries.
        unknown = curious.get(f"/promo/{event.slug}/ticket/{uuid4()}/")
        assert unknown.status_code == 503
        assert unknown["Refresh"] == unknown["Retry-After"]


# The log ------------------------------------------------------------------------------------------

TOKEN = "c1li-pY3-Uidc97lwpZZWfN3"
SIGNED = "eyJhIjoxfQ:1xWttF:KzDoYl5e2EH0ouJ8wXzQDFxYLNbj4O6_khYqa4LEqPk"


@pytest.mark.parametrize(
    "line",
    [
        f"GET /guest/{TOKEN} 500",
        f"Not Found: /guest/{TOKEN}/x",
        "/guest/only-small-letters-here- and so on",
        f"next=%2Fguest%2F{TOKEN}&a=1",
        f"/admin/login/?next=/guest/{TOKEN}",
        f"IsADirectoryError: '/srv/media/qr/{TOKEN}.png'",
        f"DETAIL:  Key (qr_token)=({TOKEN}) already exists.",
        f"Guest(qr_token='{TOKEN}')",
        f"a token alone {TOKEN}",
        f"['{TOKEN}', 3]",
        f"/promo/festa/-/proof/?proof={SIGNED}",
        f"Cookie: session={SIGNED}",
        f"/guest/{TOKEN}?proof={SIGNED}",
        "/inbox/?key=right-key",
    ],
)
def test_tokens_are_removed_from_a_line_of_the_log(line: str) -> None:
    hidden = hide_secrets(line)
    assert "[hidden]" in hidden
    for secret in (TOKEN, SIGNED, "only-small", "right-key"):
        assert secret not in hidden


@pytest.mark.parametrize(
    "line",
    [
        "guest_created guest_id=12 ticket_id=5e40b71b-a487-45a0-bcb0-9235ab848c57",
        'File "/srv/snap/guests/models.py", line 120, in test_a_name_of_24_letters',
        "phone_hash=0123456789abcdef0123456789abcdef http://localhost:8000/promo/festa-12/",
        "2026-11-27 11:12:58,497 INFO uvicorn.error Uvicorn running on http://127.0.0.1:8001",
    ],
)
def test_a_line_of_the_log_without_secrets_is_not_changed(line: str) -> None:
    assert hide_secrets(line) == line


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not servers.are_ours(), reason="the log of another server is not ours to read")
def test_the_databases_log_quotes_neither_rows_nor_statements() -> None:
    account = make_account(phone="+351961777888", email="quoted@example.com")
    form = {"first_name": "Citada", "last_name": "Exemplo", "email": "quoted2@example.com"}
    with pytest.raises(AccountError):
        register(phone=account.phone or "", language="en", **form)
    assert servers.postgresql is not None
    log = servers.postgresql.log_path
    content = log.read_text(errors="replace")
    assert "duplicate key" in content
    assert [text for text in ("961777888", "Citada", "quoted2@") if text in content] == []
    assert log.stat().st_mode & 0o077 == 0


def test_an_error_of_a_client_is_one_line_of_the_log() -> None:
    """Every client can cause such errors, and a traceback for each would fill the disk."""
    try:
        raise SuspiciousOperation("Invalid HTTP_HOST header")
    except SuspiciousOperation:
        about = sys.exc_info()
    usual = {"level": logging.ERROR, "msg": "refused", "exc_info": about}
    hers = logging.makeLogRecord({**usual, "name": "django.security.DisallowedHost"})
    refused = logging.makeLogRecord({**usual, "name": "django.request", "status_code": 400})
    ours = logging.makeLogRecord({**usual, "name": "django.request", "status_code": 500})
    lines = [len(PlainFormatter().format(record).splitlines()) for record in (hers, refused, ours)]
    assert lines[:2] == [1, 1]
    assert lines[2] > 1


@pytest.mark.processes
def test_no_error_writes_a_token_into_any_log(stack: Stack) -> None:
    """The errors are of pages, images, sockets and a broken storage."""
    starts = {name: len(stack.log(name)) for name in ("web", "ws", "worker", "emails", "sweeper")}
    guest = make_guest()
    token = guest.qr_token or ""
    image = Path(the_settings.MEDIA_ROOT) / "qr" / f"{token}.png"
    image.unlink(missing_ok=True)
    image.mkdir(parents=True)
    try:
        broken = http.get(f"{stack.url}/media/qr/{token}.png")
    finally:
        shutil.rmtree(image)
    assert broken.status_code == 500
    for path in (f"/guest/{token}", f"/media/qr/{token}.png"):
        for method in ("GET", "POST", "BREW", "OPTIONS"):
            http.request(method, stack.url + path)
            http.request(method, f"{stack.url}{path}x/%00")
            http.request(method, stack.url + path, headers={"host": "evil.example"})
        for port in (stack.web_port, stack.ws_port):
            http.get(f"http://localhost:{port}{path}", headers={"referer": stack.url + path})
            knock(port, f"/ws{path}/")
            knock(port, path)
        http.post(f"{stack.url}/sign-out/", headers={"referer": stack.url + path})
        http.get(f"{stack.url}/challenge/?next={path}&for=x")
        http.get(f"{stack.url}/admin/?next={path}")
        http.get(f"{stack.url}/nowhere?back={path}&proof={SIGNED}")
    http.get(f"{stack.url}/nowhere", headers={"cookie": f"session={SIGNED}"})
    logged = "".join(stack.log(name)[start:] for name, start in starts.items())
    assert "Internal Server Error" in logged
    assert "IsADirectoryError" in logged
    assert "[hidden]" in logged
    for secret in (token, SIGNED, SIGNED.rpartition(":")[2]):
        assert secret not in logged


def knock(port: int, path: str) -> None:
    """Send a websocket handshake over HTTP."""
    headers = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    http.get(f"http://localhost:{port}{path}", headers=headers)
