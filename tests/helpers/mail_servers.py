"""Mail servers on loopback: SMTP servers that keep the emails they receive."""

import asyncio
import logging
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pytest_django import Settings

from snap.local.embedded import free_port

# The log of aiosmtpd repeats whole messages; tests read the log of SNAP.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


class CuttingController(Controller):
    """A controller that cuts the connections that clients keep when it stops."""

    def __init__(self, handler: Any, port: int) -> None:
        self._dialogues: list[SMTP] = []
        super().__init__(handler, hostname="127.0.0.1", port=port)

    def factory(self) -> SMTP:
        dialogue = self.make_dialogue()
        self._dialogues.append(dialogue)
        return dialogue

    def make_dialogue(self) -> SMTP:
        made: SMTP = super().factory()  # type: ignore[no-untyped-call]
        return made

    def stop(self, no_assert: bool = False) -> None:
        self._cut_all()
        super().stop(no_assert)

    def _cut_all(self) -> None:
        done = threading.Event()

        def cut() -> None:
            for dialogue in self._dialogues:
                if isinstance(dialogue.transport, asyncio.Transport):
                    dialogue.transport.abort()
            self.loop.call_soon(done.set)

        self.loop.call_soon_threadsafe(cut)
        done.wait(5)


class Sink:
    """A mail server that keeps what it receives. `replies` are its refusals, by recipient."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.replies: dict[str, str] = {}
        self.port = free_port()
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = CuttingController(self, self.port)
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


class BreakingSink(Sink):
    """A mail server that breaks something after it has a whole message, before it replies."""

    def __init__(self) -> None:
        super().__init__()
        self.on_data: Callable[[], object] = lambda: None

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        reply = await super().handle_DATA(server, session, envelope)
        self.on_data()
        return reply


def send_to(settings: Settings, server: Sink) -> None:
    """Make this process send its emails to a mail server."""
    settings.EMAIL_BACKEND = "notifications.smtp.SMTPBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER = False, ""
