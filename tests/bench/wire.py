"""HTTP and websocket clients that need very little CPU, so the bench measures SNAP.

They support only what SNAP's servers send: responses over a persistent connection, with a length
or in chunks, and websocket frames without mask and compression.
"""

import asyncio
import struct
from collections import deque
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# Key and mask are constant. They are no secrets; they only keep proxies from reading frames.
HANDSHAKE_KEY = b"c25hcC1iZW5jaC1ndWVzdA=="
MASK = b"\0\0\0\0"


class WireError(Exception):
    """The server closed the connection, or sent what this client does not support."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or 80)


class Response:
    """Status, raw headers and body."""

    __slots__ = ("body", "head", "status")

    def __init__(self, head: bytes, body: bytes) -> None:
        self.status = int(head[9:12])
        self.head = head
        self.body = body

    def header(self, name: bytes) -> bytes:
        """Return the value of a header, or b"" without it."""
        at = self.head.lower().find(b"\r\n" + name.lower() + b":")
        if at < 0:
            return b""
        end = self.head.find(b"\r\n", at + 2)
        return self.head[at + len(name) + 3 : end if end > 0 else None].strip()


class _Reader(asyncio.Protocol):
    """Reads a connection for one waiting task."""

    def __init__(self) -> None:
        self.received = b""
        self.waiter: asyncio.Future[None] | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def more(self) -> None:
        """Wait for more data. Raises WireError when the connection is closed."""
        if self.is_lost:
            raise WireError("connection lost")
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    async def head(self) -> bytes:
        """Read up to an empty line."""
        while (end := self.received.find(b"\r\n\r\n")) < 0:
            await self.more()
        head, self.received = self.received[:end], self.received[end + 4 :]
        return head

    async def chunks(self) -> bytes:
        """Read a chunked body."""
        parts: list[bytes] = []
        while True:
            while (end := self.received.find(b"\r\n")) < 0:
                await self.more()
            size = int(self.received[:end], 16)
            chunk = await self.read(end + 2 + size + 2)
            if not size:
                return b"".join(parts)
            parts.append(chunk[end + 2 : -2])

    async def read(self, size: int) -> bytes:
        while len(self.received) < size:
            await self.more()
        taken, self.received = self.received[:size], self.received[size:]
        return taken


async def _connect(address: Address) -> _Reader:
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(_Reader, address.host, address.port)
    return reader


class Browser:
    """One persistent connection with its cookies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = Address.of(url)
        self.host = urlsplit(url).netloc.encode()
        self.cookies: dict[bytes, bytes] = {}
        self._reader: _Reader | None = None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.transport.close()
            self._reader = None

    @property
    def cookie_header(self) -> bytes:
        return b"; ".join(name + b"=" + value for name, value in self.cookies.items())

    async def get(self, path: bytes, headers: bytes = b"") -> Response:
        return await self._ask(b"GET " + path, headers, b"")

    async def post(
        self,
        path: bytes,
        body: bytes,
        headers: bytes = b"",
        content_type: bytes = b"application/x-www-form-urlencoded",
    ) -> Response:
        sent = b"Content-Type: %b\r\nContent-Length: %d\r\n" % (content_type, len(body))
        return await self._ask(b"POST " + path, headers + sent, body)

    async def _ask(self, line: bytes, headers: bytes, body: bytes) -> Response:
        if self._reader is None or self._reader.is_lost:
            self._reader = await _connect(self.address)
        reader = self._reader
        cookies = b"Cookie: " + self.cookie_header + b"\r\n" if self.cookies else b""
        reader.transport.write(
            b"%b HTTP/1.1\r\nHost: %b\r\nAccept-Language: pt-PT\r\n%b%b\r\n%b"
            % (line, self.host, cookies, headers, body)
        )
        head = await reader.head()
        response = Response(head, b"")
        if response.header(b"transfer-encoding"):
            response.body = await reader.chunks()
        else:
            response.body = await reader.read(int(response.header(b"content-length") or 0))
        if b"set-cookie:" in head.lower():
            self._keep_cookies(head)
        return response

    def _keep_cookies(self, head: bytes) -> None:
        for line in head.split(b"\r\n"):
            if line[:11].lower() == b"set-cookie:":
                name, _, value = line[11:].partition(b";")[0].strip().partition(b"=")
                self.cookies[name] = value


class Socket:
    """A websocket that only listens."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        self._waiting: deque[bytes] = deque()

    @classmethod
    async def open(cls, url: str, *, origin: bytes, cookies: bytes) -> Self:
        """Open a socket. Raises WireError when the server refuses it."""
        parts = urlsplit(url)
        reader = await _connect(Address.of(url))
        reader.transport.write(
            b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\nOrigin: %b\r\nCookie: %b\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            b"Accept-Language: pt-PT\r\n\r\n"
            % (parts.path.encode(), parts.netloc.encode(), HANDSHAKE_KEY, origin, cookies)
        )
        try:
            head = await reader.head()
            if head[9:12] != b"101":
                raise WireError(f"the socket was refused: {head[9:12].decode()}")
        except BaseException:
            reader.transport.close()
            raise
        return cls(reader)

    async def receive(self) -> bytes | None:
        """Return the next text, or None when the server has closed the socket."""
        while True:
            opcode, payload = await self._frame()
            if opcode == TEXT:
                return payload
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE:
                self._send(CLOSE, payload[:2])
                return None

    def close(self) -> None:
        self._reader.transport.close()

    async def _frame(self) -> tuple[int, bytes]:
        first, second = await self._reader.read(2)
        size = second & 127
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.read(8))
        return first & 15, await self._reader.read(size)

    def _send(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros leaves the payload as it is.
        self._reader.transport.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + MASK + payload)
