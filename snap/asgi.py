"""The ASGI application, for websockets only. The WSGI one serves HTTP in a tenth of the CPU."""

import os
import socket

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")
get_asgi_application()

from asyncio import BaseTransport  # noqa: E402
from typing import Any  # noqa: E402
from urllib.parse import urlsplit  # noqa: E402

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import OriginValidator, WebsocketDenier  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402
from uvicorn.protocols.websockets.websockets_sansio_impl import (  # noqa: E402
    WebSocketsSansIOProtocol,
)
from websockets.http11 import Request  # noqa: E402

from promo.sockets.routing import websocket_urlpatterns  # noqa: E402
from snap.control import snapshot  # noqa: E402
from snap.limits.policy import require_policies  # noqa: E402
from snap.observability import tracing  # noqa: E402
from snap.observability.request_log import HandshakeLog  # noqa: E402
from snap.observability.socket_metrics import sockets_open  # noqa: E402

# Longer than uvicorn waits for the answer to a ping.
STALLED_SECONDS = 60


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol with five changes.

    It discards its copy of the headers, an eighth of the memory of an idle socket. It rejects an
    invalid handshake with 400, where uvicorn leaves the connection open without a response. It
    discards all messages from the page. It counts the open sockets. It ends a connection whose page
    does not read, where uvicorn waits until the page has read what was sent before the end.
    """

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        sockets_open.inc()
        end_when_stalled(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        sockets_open.dec()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        self.frames = []

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        event.headers.clear()


def end_when_stalled(transport: BaseTransport) -> None:
    """Have the kernel end a connection whose other side takes nothing for STALLED_SECONDS."""
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux only
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * STALLED_SECONDS)


async def reject_http(scope, receive, send):  # type: ignore[no-untyped-def]
    """Return 426: this process serves only websockets."""
    await send(
        {"type": "http.response.start", "status": 426, "headers": [(b"upgrade", b"websocket")]}
    )
    await send({"type": "http.response.body", "body": b""})


class StrictOriginValidator(OriginValidator):
    """Refuses an Origin that is no URL, on which Channels fails, and more than one Origin."""

    async def __call__(self, scope, receive, send):  # type: ignore[no-untyped-def]
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if len(origins) > 1 or not all(map(is_url, origins)):
            return await WebsocketDenier()(scope, receive, send)
        return await super().__call__(scope, receive, send)


def is_url(origin: bytes) -> bool:
    text = origin.decode("latin-1")
    try:
        return urlsplit(text).port != 0
    except ValueError:
        return False


require_policies(websocket_urlpatterns)

# The router raises an exception for an unknown path, so the last route denies all other paths.
denier: Any = WebsocketDenier.as_asgi()
unknown_path: Any = re_path("", denier)
routes = URLRouter([*websocket_urlpatterns, unknown_path])

application = ProtocolTypeRouter(
    {
        "http": reject_http,
        "websocket": HandshakeLog(StrictOriginValidator(routes, settings.WEBSOCKET_ORIGINS)),
    }
)

tracing.start()
snapshot.start()
