"""Mail providers over HTTP, played by a server on loopback, and a mail server that hangs."""

import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_plus

import pytest
from django.core.mail import get_connection
from pytest_django import Settings

from notifications.models import Email
from notifications.sending import send_due_emails
from notifications.services import queue_email
from tests.helpers.example_emails import QR_ID, example_message, qr_png

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # The authors of anymail cannot test SendGrid any more. These tests show that it works here.
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]

RESPONSES = {"resend": {"id": "r-1"}, "mailgun": {"id": "<m-1@example>", "message": "Queued."}}


class Provider(ThreadingHTTPServer):
    """A provider that gives every request the same response and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.response: dict[str, str] = {}
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers["Idempotency-Key"])
        response = json.dumps(self.server.response).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(response)))
        self.end_headers()
        self.wfile.write(response)

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def use(provider: Provider, settings: Settings, name: str) -> None:
    settings.EMAIL_PROVIDER = name
    settings.EMAIL_BACKEND = settings.EMAIL_BACKENDS[name]
    settings.ANYMAIL = {
        f"{name.upper()}_API_KEY": "key",
        f"{name.upper()}_API_URL": provider.url,
    }
    provider.response = RESPONSES.get(name, {})


def send_through(
    provider: Provider, settings: Settings, name: str, to: str = "ana@example.pt"
) -> Email:
    use(provider, settings, name)
    queue_email("note", "note:1", to=to, language="en")
    send_due_emails()
    return Email.objects.get()


@pytest.mark.parametrize("name", ["resend", "sendgrid", "mailgun"])
def test_every_provider_accepts_an_email_and_its_id_is_kept(
    provider: Provider, settings: Settings, name: str
) -> None:
    email = send_through(provider, settings, name)
    assert email.state == "sent"
    assert email.provider_id
    (body,) = provider.bodies
    assert "ana@example.pt" in unquote_plus(body.decode())
    assert "note:1" in unquote_plus(body.decode())


@pytest.mark.parametrize("name", ["resend", "sendgrid", "mailgun"])
def test_every_provider_gets_an_international_domain_by_idna_2008(
    provider: Provider, settings: Settings, name: str
) -> None:
    assert send_through(provider, settings, name, to="ana@faß.example").state == "sent"
    (body,) = provider.bodies
    assert "ana@xn--fa-hia.example" in unquote_plus(body.decode())
    assert "ß" not in unquote_plus(body.decode())


@pytest.mark.parametrize("name", ["resend", "sendgrid", "mailgun"])
def test_every_provider_accepts_the_inline_qr_code(
    provider: Provider, settings: Settings, name: str
) -> None:
    use(provider, settings, name)
    assert get_connection().send_messages([example_message("qr_code")]) == 1
    (body,) = provider.bodies
    assert f"cid:{QR_ID}".encode() in body.replace(b"cid:qr.png", f"cid:{QR_ID}".encode())
    assert (b64encode(qr_png()) in body) or (qr_png() in body)


def test_an_attempt_after_a_lost_response_has_the_same_idempotency_key(
    provider: Provider, settings: Settings
) -> None:
    send_through(provider, settings, "resend")
    Email.objects.update(state="queued")
    send_through(provider, settings, "resend")
    first, second = provider.keys
    assert first is not None
    assert first == second


@pytest.mark.parametrize("status", [500, 503, 429, 401])
def test_an_error_of_the_provider_uses_up_no_attempt(
    provider: Provider, settings: Settings, status: int
) -> None:
    provider.status = status
    email = send_through(provider, settings, "resend")
    assert (email.state, email.attempts) == ("queued", 0)
    assert email.error.startswith(f"AnymailRequestsAPIError {status}")


def test_a_permanent_error_of_the_email_itself_ends_it_at_once(
    provider: Provider, settings: Settings
) -> None:
    provider.status = 422
    email = send_through(provider, settings, "resend")
    assert (email.state, email.error.partition(" (")[0]) == ("dead", "AnymailRequestsAPIError 422")


def test_a_provider_that_is_away_uses_up_no_attempts(
    provider: Provider, settings: Settings
) -> None:
    provider.server_close()
    email = send_through(provider, settings, "resend")
    assert (email.state, email.attempts) == ("queued", 0)


def test_a_mail_server_that_hangs_uses_up_no_attempts_and_delays_a_batch_briefly(
    settings: Settings,
) -> None:
    settings.EMAIL_BACKEND = "notifications.smtp.SMTPBackend"
    settings.EMAIL_TIMEOUT = 0.3
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
        for number in range(20):
            queue_email("note", f"note:{number}", to="ana@example.pt", language="en")
        started = time.monotonic()
        assert send_due_emails() == 0
        assert time.monotonic() - started < 2
    assert Email.objects.filter(state="queued", attempts=0, leased_until=None).count() == 20
    assert not Email.objects.due().exists()
