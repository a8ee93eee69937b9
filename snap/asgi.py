"""Websockets only: HTTP goes to the WSGI application, which costs a tenth of the CPU."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")
get_asgi_application()

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
from snap.limits.policy import require_policies  # noqa: E402


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, without its own copy of the headers: an eighth of what an idle socket takes.

    It answers a handshake that it cannot read: uvicorn leaves that connection open and silent. It
    drops what a page sends, unread.
    """

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


async def answer_http(scope, receive, send):  # type: ignore[no-untyped-def]
    """Tell whoever asks this process over HTTP that it only speaks websocket."""
    await send(
        {"type": "http.response.start", "status": 426, "headers": [(b"upgrade", b"websocket")]}
    )
    await send({"type": "http.response.body", "body": b""})


class StrictOriginValidator(OriginValidator):
    """Refuses an Origin that is no URL, instead of failing on it, and more than one Origin."""

    async def __call__(self, scope, receive, send):  # type: ignore[no-untyped-def]
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if len(origins) > 1 or not all(is_url(origin.decode("latin-1")) for origin in origins):
            return await WebsocketDenier()(scope, receive, send)
        return await super().__call__(scope, receive, send)


def is_url(text: str) -> bool:
    try:
        return urlsplit(text).port != 0
    except ValueError:
        return False


require_policies(websocket_urlpatterns)

# Without the last route the router fails on a path that it does not know.
nowhere: Any = WebsocketDenier.as_asgi()
elsewhere: Any = re_path("", nowhere)
routes = URLRouter([*websocket_urlpatterns, elsewhere])

application = ProtocolTypeRouter(
    {
        "http": answer_http,
        "websocket": StrictOriginValidator(routes, settings.WEBSOCKET_ORIGINS),
    }
)
