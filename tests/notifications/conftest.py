"""A kind of email for these tests alone, and a mail server on loopback that really receives it."""

import logging
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pytest_django import Settings

from notifications.delivery import provider
from notifications.kinds import EmailContent, email_kind
from tests.helpers.stack import wait_for

# The sink's own log repeats whole messages; the tests look at what SNAP logs.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


@email_kind("note")
def note(cause: str) -> EmailContent | None:
    """Be what the cause asks for: `gone:…`, `broken:…`, or a note that says the cause."""
    if cause.startswith("gone:"):
        return None
    if cause.startswith("broken:"):
        raise KeyError("somebody@example.pt has the code 123456")
    return EmailContent({"text": cause})


class Sink:
    """A mail server that keeps what it receives, and refuses what its tests tell it to."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.replies: dict[str, str] = {}
        self.port = free_port()
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if reply := self.replies.get(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients.extend(envelope.rcpt_tos)
        return "250 OK"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    """Send by SMTP to a server that is up."""
    server = Sink()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER = False, ""
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _note_templates(settings: Settings) -> None:
    engine = settings.TEMPLATES[0]
    templates = Path(__file__).parent / "templates"
    settings.TEMPLATES = [{**engine, "DIRS": [*engine["DIRS"], templates]}]


@pytest.fixture(autouse=True)
def _closed_breaker() -> Iterator[None]:
    """Begin with a closed breaker, and without a probe of the test before that may open it."""
    wait_for(lambda: not is_probing())
    provider.succeeded()
    yield
    provider.succeeded()


def is_probing() -> bool:
    return any(thread.name == f"probe {provider.name}" for thread in threading.enumerate())
