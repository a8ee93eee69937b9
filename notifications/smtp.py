"""Send messages by SMTP over connections that are kept.

A connection that is in order is kept for the next batch, whichever thread sends it. A server may
end a connection after some messages. The message that finds it ended goes over a new one.
"""

import os
import select
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parseaddr
from threading import Condition, Thread
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.utils import DNS_NAME

from notifications.messages import RelatedMessage
from snap.local_cache import on_reset

# Seconds that a server has to take a whole message and to reply. It may scan the message first.
TEXT_SECONDS = 20.0
# Seconds after which an unused connection is closed. Servers close theirs after some minutes.
IDLE_SECONDS = 30.0
# A connection that was unused for longer is asked whether it still works.
NOOP_AFTER_SECONDS = 5.0
MAX_REPLY_LINES = 100
MAX_LINE_BYTES = 8192

START_OF_TEXT = 354
SERVICE_CLOSING = 421
LOGIN_FAILED = 535

Reply = tuple[int, bytes]


class ResponseLost(OSError):  # noqa: N818 (what has happened, not whose error it is)
    """The connection ended after the server had the whole message, and before its reply.

    The server may have accepted the message.
    """


class Connection(smtplib.SMTP):
    """A connection to a mail server. A command and its reply take at most `seconds` together.

    A timeout raises TimeoutError, a connection that the server ended SMTPServerDisconnected.
    """

    def __init__(self, host: str, port: int, *, seconds: float) -> None:
        self._received = b""
        self._seconds = seconds
        self._stop_at = monotonic() + seconds
        self._needs_reset = False
        self.has_sent = False
        self.unused_since = 0.0
        super().__init__(host, port, DNS_NAME.get_fqdn(), seconds)

    def is_ended(self) -> bool:
        """Return whether the server has ended the connection, or said so. No round trip."""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(self._received or poll.poll(0))

    def transmit(self, sender: str, recipients: Sequence[str], text: bytes) -> None:
        """Send a message whose lines end in CRLF.

        Raises ResponseLost, or another OSError when the server has certainly not accepted it. An
        error that leaves the connection in disorder closes it.
        """
        self._begin(sender, recipients)
        self._send_text(text)
        code, reply = self._reply_to_text()
        if code >= 400:
            raise self._refusal(smtplib.SMTPDataError(code, reply), code)
        self.has_sent = True

    def _begin(self, sender: str, recipients: Sequence[str]) -> None:
        commands = [
            f"mail FROM:{smtplib.quoteaddr(sender)}",
            *(f"rcpt TO:{smtplib.quoteaddr(recipient)}" for recipient in recipients),
            "data",
        ]
        if self._needs_reset:
            self.docmd("rset")
            self._needs_reset = False
        mail, *to, data = self._replies(commands)
        if mail[0] >= 400:
            raise self._refusal(smtplib.SMTPSenderRefused(*mail, sender), mail[0], data)
        refused = {}
        for recipient, reply in zip(recipients, to, strict=True):
            if reply[0] >= 400:
                refused[recipient] = reply
        if refused:
            worst = max(code for code, _ in refused.values())
            raise self._refusal(smtplib.SMTPRecipientsRefused(refused), worst, data)
        if data[0] != START_OF_TEXT:
            raise self._refusal(smtplib.SMTPDataError(*data), data[0])

    def _replies(self, commands: Sequence[str]) -> list[Reply]:
        """Return the reply to each command. They are sent at once if the server allows that.

        The commands after a refused one have its reply otherwise.
        """
        if self.has_extn("pipelining"):
            self.send("".join(f"{command}\r\n" for command in commands))
            return [self.getreply() for _ in commands]
        replies = []
        for command in commands:
            reply = self.docmd(command)
            replies.append(reply)
            if reply[0] >= 400:
                break
        missing = len(commands) - len(replies)
        return replies + [replies[-1]] * missing

    def _refusal(self, error: OSError, code: int, data: Reply = (0, b"")) -> OSError:
        """Prepare the connection for the next message, or close it. Return the error."""
        if code == SERVICE_CLOSING or START_OF_TEXT in {code, data[0]}:
            self.close()
        self._needs_reset = True
        return error

    def _send_text(self, text: bytes) -> None:
        """Hand over a message. After an error its end is still here, so the server has no message.

        Lines that begin with a dot get a second one (RFC 5321, 4.5.2).
        """
        if text.startswith(b"."):
            text = b"." + text
        if not text.endswith(b"\r\n"):
            text += b"\r\n"
        self._stop_at = monotonic() + TEXT_SECONDS
        self._send(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")

    def _reply_to_text(self) -> Reply:
        try:
            code, reply = self.getreply()
        except OSError as error:
            raise ResponseLost("the reply to a message was lost") from error
        if not (200 <= code < 300 or 400 <= code < 600):
            self.close()
            raise ResponseLost(f"the reply to a message was {code}")
        return code, reply

    def send(self, s: Any) -> None:
        """Send a command."""
        self._stop_at = monotonic() + self._seconds
        if isinstance(s, str):
            s = s.encode("ascii")
        self._send(s)

    def _send(self, data: bytes) -> None:
        try:
            self._socket().sendall(data)
        except OSError as error:
            self._fail(error)

    def getreply(self) -> Reply:
        """Return the code and the text of a reply."""
        lines: list[bytes] = []
        is_last = False
        while not is_last:
            if len(lines) == MAX_REPLY_LINES:
                self._fail(ConnectionError("a reply is too long"))
            line = self._read_line()
            lines.append(line[4:].strip())
            is_last = line[3:4] != b"-"
        code = line[:3]
        if not (len(code) == 3 and code.isdigit()):
            self._fail(ConnectionError("the server sent no reply code"))
        return int(code), b"\n".join(lines)

    def _read_line(self) -> bytes:
        while b"\n" not in self._received:
            try:
                received = self._socket().recv(MAX_LINE_BYTES)
            except OSError as error:
                self._fail(error)
            if not received:
                self._fail(ConnectionError("the server closed the connection"))
            if len(self._received) > MAX_LINE_BYTES:
                self._fail(ConnectionError("a reply is too long"))
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line.rstrip(b"\r")

    def _socket(self) -> Any:
        """Return the socket, whose next call ends in time. Raises OSError after that."""
        left = self._stop_at - monotonic()
        if self.sock is None:
            raise ConnectionError("the connection is closed")
        if left <= 0:
            raise TimeoutError("the server took too long")
        self.sock.settimeout(left)
        return self.sock

    def _fail(self, error: OSError) -> Any:
        self.close()
        if isinstance(error, TimeoutError):
            raise error
        raise smtplib.SMTPServerDisconnected(f"{type(error).__name__}: {error}") from error

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Encrypt the connection by STARTTLS. What came in plain text is not read after it."""
        self.starttls(context=context)
        if self._received:
            self._fail(ConnectionError("the server spoke before its turn"))


class SMTPBackend(EmailBackend):
    """Django's SMTP backend, over kept connections. One thread uses it at a time.

    `close` keeps a connection that is in order for the next batch.
    """

    connection: Connection | None

    def open(self) -> bool:
        """Take a kept connection, or open one. Return whether there was none yet."""
        if self.connection is not None and self.connection.sock is not None:
            return False
        self.connection = kept.take(self._server) or self._connect()
        return True

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            kept.add(self._server, connection)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send messages. Raises at the first error."""
        is_mine = self.open()
        sent = 0
        try:
            for message in email_messages:
                if recipients := message.recipients():
                    sender = parseaddr(message.from_email)[1]
                    self._transmit(sender, recipients, message_bytes(message))
                    sent += 1
        finally:
            if is_mine:
                self.close()
        return sent

    @property
    def _server(self) -> tuple[object, ...]:
        return self.host, self.port, self.username, self.password, self.use_tls

    def _transmit(self, sender: str, recipients: Sequence[str], text: bytes) -> None:
        """Send a message, and once more over a new connection if the server ended an old one."""
        self.open()
        assert self.connection is not None
        is_old = self.connection.has_sent
        try:
            self.connection.transmit(sender, recipients, text)
        except OSError as error:
            if not (is_old and is_end_of_connection(error)):
                raise
            self.connection.close()
            self.connection = self._connect()
            self.connection.transmit(sender, recipients, text)

    def _connect(self) -> Connection:
        seconds = self.timeout or settings.EMAIL_TIMEOUT
        connection = Connection(self.host, self.port, seconds=seconds)
        try:
            if self.use_tls:
                connection.encrypt(self.ssl_context)
            connection.ehlo_or_helo_if_needed()
            if self.username and self.password:
                connection.login(self.username, self.password)
        except UnicodeError as error:
            connection.close()
            refused = smtplib.SMTPAuthenticationError(LOGIN_FAILED, b"the password is not in ASCII")
            raise refused from error
        except BaseException:
            connection.close()
            raise
        return connection


def message_bytes(message: EmailMessage) -> bytes:
    """Return a message with CRLF at the end of each line."""
    if isinstance(message, RelatedMessage):
        return message.to_bytes()
    built: Any = message.message()
    its_bytes: bytes = built.as_bytes(linesep="\r\n")
    return its_bytes


def is_end_of_connection(error: OSError) -> bool:
    """Return whether a message was not accepted because the server ended the connection."""
    match error:
        case smtplib.SMTPServerDisconnected():
            return True
        case smtplib.SMTPResponseException(smtp_code=code):
            return code == SERVICE_CLOSING
        case smtplib.SMTPRecipientsRefused(recipients=recipients):
            return SERVICE_CLOSING in {code for code, _ in recipients.values()}
        case _:
            return False


class KeptConnections:
    """The unused connections of this process. A thread closes those unused for IDLE_SECONDS."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._connections: list[tuple[object, Connection]] = []
        self._closing: Thread | None = None

    def take(self, server: object) -> Connection | None:
        """Return a connection to a server that still works, None if there is none."""
        while connection := self._pop(server):
            if is_working(connection):
                return connection
            connection.close()
        return None

    def add(self, server: object, connection: Connection) -> None:
        """Keep a connection for the next batch. One that is closed or ended is dropped."""
        if connection.is_ended():
            connection.close()
            return
        connection.unused_since = monotonic()
        with self._changed:
            self._connections.append((server, connection))
            if self._closing is None:
                self._closing = Thread(target=self._close_unused, name="smtp_idle", daemon=True)
                self._closing.start()

    def clear(self) -> None:
        """Close all."""
        with self._changed:
            connections, self._connections = self._connections, []
            self._changed.notify_all()
        for _, connection in connections:
            connection.close()

    def forget(self) -> None:
        """Drop the connections of the parent process, and its thread and lock, after a fork."""
        self._changed = Condition()
        self._connections = []
        self._closing = None

    def _pop(self, server: object) -> Connection | None:
        with self._changed:
            for index in reversed(range(len(self._connections))):
                if self._connections[index][0] == server:
                    return self._connections.pop(index)[1]
        return None

    def _close_unused(self) -> None:
        while connection := self._wait_for_unused():
            with suppress(OSError):
                connection.quit()

    def _wait_for_unused(self) -> Connection | None:
        """Return the next connection that is unused for too long, None when none is left."""
        with self._changed:
            while self._connections:
                _, oldest = self._connections[0]
                left = oldest.unused_since + IDLE_SECONDS - monotonic()
                if left <= 0:
                    return self._connections.pop(0)[1]
                self._changed.wait(left)
            self._closing = None
            return None


def is_working(connection: Connection) -> bool:
    """Return whether a kept connection can be used. A round trip if it was unused for long."""
    if connection.is_ended():
        return False
    if monotonic() - connection.unused_since < NOOP_AFTER_SECONDS:
        return True
    try:
        code, _ = connection.noop()
    except OSError:
        return False
    return code < 400


kept = KeptConnections()
on_reset(kept.clear)
os.register_at_fork(after_in_child=kept.forget)
