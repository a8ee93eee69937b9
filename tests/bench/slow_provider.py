"""A mail provider over HTTP that accepts every email after some time, and keeps none.

`python -m tests.bench.slow_provider 8090 0.05` plays the API of Resend on that port of 127.0.0.1,
until it is stopped.
"""

import asyncio
import re
import sys

LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


class Provider(asyncio.Protocol):
    """One connection: requests, each with a body, one after the other."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._received = b""
        self._count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._received = rest[size:]
        self._count += 1
        body = b'{"id": "%d-%d"}' % (id(self), self._count)
        response = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        asyncio.get_running_loop().call_later(self._delay, self._transport.write, response)


async def serve(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Provider(delay), "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
