"""A mail server whose reply to each step of the dialogue a test can choose."""

import asyncio
import threading
import time
from collections import Counter, deque
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from snap.local.embedded import free_port
from tests.helpers.mail_servers import CuttingController

STEPS = ("connect", "ehlo", "mail", "rcpt", "data", "text")
# What a server can do in place of a reply.
HANG, CUT = "hang", "cut"
HANG_SECONDS = 30.0
MAX_IN_MEMORY = 2000


class MailServer:
    """A mail server. `replies` has lines such as `451 4.3.0 …`, HANG or CUT, by step.

    The step `text` is the one after the whole text. `accepts`: the server delivers an email whose
    text it has, whatever it replies. `next_replies` are pairs of a step and a reply, each for one
    dialogue. `by_recipient` has replies to `rcpt` by address.
    """

    name = "smtp"

    def __init__(self) -> None:
        self.port = free_port()
        self.replies: dict[str, str] = {}
        self.next_replies: deque[tuple[str, str]] = deque()
        self.by_recipient: dict[str, str] = {}
        self.accepts = False
        self.contents: list[bytes] = []
        self.copies: Counter[tuple[str, str]] = Counter()
        self.accepted_at: dict[tuple[str, str], float] = {}
        self.connections = 0
        # Mail servers report nothing.
        self.on_accept: list[Any] = []
        self._lock = threading.Lock()
        self._controller: _Controller | None = None

    def start(self) -> None:
        self._controller = _Controller(self)
        self._controller.start()

    def stop(self) -> None:
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def settings(self) -> dict[str, str]:
        """Return the environment variables with which SNAP sends to this server."""
        return {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(self.port)}

    @property
    def messages(self) -> list[EmailMessage]:
        return [message_from_bytes(each, policy=policy.default) for each in self.contents]

    def reply_to(self, step: str) -> str:
        """Return the chosen reply to a step, "" for the usual one."""
        with self._lock:
            if self.next_replies and self.next_replies[0][0] == step:
                return self.next_replies.popleft()[1]
            return self.replies.get(step, "")

    def accept(self, envelope: Envelope) -> None:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.compat32)
        with self._lock:
            for recipient in envelope.rcpt_tos:
                key = (recipient, str(message["Message-ID"]))
                self.copies[key] += 1
                self.accepted_at.setdefault(key, time.time())
            if len(self.contents) < MAX_IN_MEMORY:
                self.contents.append(envelope.content)


class _Controller(CuttingController):
    def __init__(self, server: MailServer) -> None:
        self.mail_server = server
        super().__init__(_Handler(server), server.port)

    def make_dialogue(self) -> SMTP:
        return _Dialogue(self.mail_server, self.handler)


class _Dialogue(SMTP):
    """One connection. The greeting is the first line that it sends."""

    def __init__(self, server: MailServer, handler: Any) -> None:
        super().__init__(handler, enable_SMTPUTF8=True)
        self._mail_server = server
        self._has_greeted = False

    async def push(self, status: Any) -> None:
        if not self._has_greeted:
            self._has_greeted = True
            self._mail_server.connections += 1
            reply = await act(self._mail_server.reply_to("connect"), self)
            status = reply or status
        await super().push(status)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 (aiosmtpd's name)
        reply = await act(self._mail_server.reply_to("ehlo"), self)
        if reply:
            await self.push(reply)
        else:
            await super().smtp_EHLO(hostname)

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802 (aiosmtpd's name)
        reply = await act(self._mail_server.reply_to("ehlo"), self)
        if reply:
            await self.push(reply)
        else:
            await super().smtp_HELO(hostname)

    async def smtp_DATA(self, argument: str) -> None:  # noqa: N802 (aiosmtpd's name)
        reply = await act(self._mail_server.reply_to("data"), self)
        if reply:
            await self.push(reply)
        else:
            await super().smtp_DATA(argument)


class _Handler:
    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_MAIL(  # noqa: N802 (aiosmtpd's name)
        self, dialogue: SMTP, _session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        reply = await act(self._server.reply_to("mail"), dialogue)
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, dialogue: SMTP, _session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        chosen = self._server.by_recipient.get(address) or self._server.reply_to("rcpt")
        reply = await act(chosen, dialogue)
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, dialogue: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        chosen = self._server.reply_to("text")
        if not chosen or chosen.startswith("2") or self._server.accepts:
            self._server.accept(envelope)
        reply = await act(chosen, dialogue)
        return reply or "250 2.0.0 OK"


async def act(chosen: str, dialogue: SMTP) -> str:
    """Hang or cut if that is chosen. Return the reply to send, "" for the usual one."""
    if chosen == HANG:
        await asyncio.sleep(HANG_SECONDS)
        return "421 4.4.2 too late"
    if chosen == CUT:
        transport = dialogue.transport
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
        # The rest of the dialogue has no connection any more.
        await asyncio.sleep(HANG_SECONDS)
    return chosen
