"""The protocol of `ws`: a page that reads nothing does not keep its connection."""

import asyncio
import socket
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from snap import asgi

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# More than the kernel takes for a connection whose other side reads nothing.
LONG_MESSAGE = "x" * 8_000_000


class App:
    """Sends more than the page takes, and waits for the end of the connection."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": LONG_MESSAGE})
        while "websocket.disconnect" not in self.events:
            self.events.append((await receive())["type"])
        self.ended.set()


async def serve_a_page_that_does_not_read(seconds: float) -> bool:
    """Return whether the connection ends within some seconds."""
    app = App()
    config = Config(app, lifespan="off", ws_ping_interval=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(
        lambda: asgi.WebSocketProtocol(config, state, {}), "127.0.0.1", 0
    )
    with socket.socket() as page:
        page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        page.settimeout(0)
        await loop.sock_connect(page, server.sockets[0].getsockname())
        await loop.sock_sendall(page, HANDSHAKE)
        try:
            await asyncio.wait_for(app.ended.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            server.close()
    return True


@pytest.mark.slow  # The kernel takes its time: over a second.
def test_a_page_that_does_not_read_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "STALLED_SECONDS", 1)
    assert asyncio.run(serve_a_page_that_does_not_read(20))
