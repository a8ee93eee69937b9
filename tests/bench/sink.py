"""A cheap mail server that accepts every email and keeps none.

`python -m tests.bench.sink 2525` listens on that port of 127.0.0.1 until it is stopped. A second
argument is the seconds after which it replies to the text of an email.
"""

import asyncio
import sys

# Clients may send several commands at once, as to nearly every mail server.
HELLO = b"250-sink\r\n250 PIPELINING"
REPLIES = {b"EHLO": HELLO, b"HELO": b"250 sink", b"DATA": b"354 go on", b"QUIT": b"221 bye"}


class Sink(asyncio.Protocol):
    """One connection: commands, and after DATA a text that ends with a line of one dot."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._received = b""
        self._in_text = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._handle():
            pass

    def _handle(self) -> bool:
        """Handle one complete command or text. Return whether there was one."""
        end = b"\r\n.\r\n" if self._in_text else b"\r\n"
        received, found, rest = self._received.partition(end)
        if not found:
            return False
        self._received = rest
        command = received[:4].upper()
        if self._in_text:
            self._in_text, reply = False, b"250 accepted"
            if self._delay:
                loop = asyncio.get_running_loop()
                loop.call_later(self._delay, self._transport.write, reply + b"\r\n")
                return True
        else:
            self._in_text, reply = command == b"DATA", REPLIES.get(command, b"250 ok")
        self._transport.write(reply + b"\r\n")
        if reply == REPLIES[b"QUIT"]:
            self._transport.close()
        return True


async def serve(port: int, delay: float = 0.0) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(delay), "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *map(float, sys.argv[2:])))
