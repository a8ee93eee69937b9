"""Probes: whether a mail provider responds, while its breaker is open."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from pytest_django import Settings

from notifications import providers
from notifications.providers import Provider, provider_named

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
Respond = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "PROBE_SECONDS", 0.5)


@contextmanager
def listening(respond: Respond) -> Iterator[int]:
    """Run a server that treats each connection in one way. Yields its port."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            respond(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def wait_for_end(connection: socket.socket) -> None:
    """Read, and say nothing, until the client closes the connection."""
    while connection.recv(1000):
        pass


def respond_404(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(NOT_FOUND)


def greet_without_end(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"220-still starting\r\n")


def api_at(settings: Settings, address: str) -> Provider:
    settings.EMAIL_PROVIDER, settings.EMAIL_BACKEND = "resend", settings.EMAIL_BACKENDS["resend"]
    settings.ANYMAIL = {"RESEND_API_KEY": "key", "RESEND_API_URL": address}
    return provider_named("resend")


def test_an_api_responds_with_any_status(settings: Settings) -> None:
    with listening(respond_404) as port:
        provider = api_at(settings, f"http://127.0.0.1:{port}/")
        assert provider.responds()
    assert not provider.responds()


def test_an_api_that_only_accepts_connections_does_not_respond(settings: Settings) -> None:
    """Every email sent there would wait for its response, and then stay with that provider."""
    with listening(wait_for_end) as port:
        assert not api_at(settings, f"http://127.0.0.1:{port}/").responds()


def test_an_api_is_probed_through_the_proxy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where emails need a proxy, a direct probe would keep the breaker open for ever."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    provider = api_at(settings, "http://127.0.0.2:9/")
    with listening(respond_404) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        assert provider.responds()
    assert not provider.responds()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("respond", [wait_for_end, greet_without_end])
def test_a_mail_server_that_never_greets_does_not_respond(
    settings: Settings, respond: Respond
) -> None:
    settings.EMAIL_PROVIDER, settings.EMAIL_BACKEND = "smtp", settings.EMAIL_BACKENDS["smtp"]
    with listening(respond) as port:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        assert not provider_named("smtp").responds()
