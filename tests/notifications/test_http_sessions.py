"""A provider that responds without end holds no thread, and leaves the email unsure."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from pytest_django import Settings

from notifications import providers
from notifications.models import Email
from notifications.sending import send_due_emails
from tests.helpers.example_emails import queue_note

pytestmark = pytest.mark.django_db

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000000\r\n\r\n"


def drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def drip_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(connection)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(HEADERS)
    drip(connection)


def drip_chunks(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    connection.sendall(HEADERS)
    connection.sendall(b" " * 5_000_000)
    drip(connection)


Respond = Callable[[socket.socket], None]


@pytest.fixture(params=[drip_headers, drip_body, drip_chunks, flood])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that responds without end."""
    respond: Respond = request.param

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(100_000)
            respond(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["resend", "mailgun"])
def test_a_response_without_an_end_leaves_an_email_unsure(
    port: int, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(providers, "PROBE_SECONDS", 0.3)
    settings.EMAIL_PROVIDER, settings.EMAIL_BACKEND = name, settings.EMAIL_BACKENDS[name]
    settings.ANYMAIL = {
        f"{name.upper()}_API_KEY": "key",
        f"{name.upper()}_API_URL": f"http://127.0.0.1:{port}/",
        "REQUESTS_TIMEOUT": (1, 0.4),
    }
    queue_note("note:1")
    send_due_emails()
    email = Email.objects.get()
    assert (email.state, email.attempts, email.unsure_provider) == ("queued", 0, name)
