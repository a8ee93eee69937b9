"""Websockets only: HTTP goes to the WSGI application, which costs a tenth of the CPU."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")
get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import OriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from uvicorn.protocols.websockets.websockets_sansio_impl import (  # noqa: E402
    WebSocketsSansIOProtocol,
)
from websockets.http11 import Request  # noqa: E402

from promo.routing import websocket_urlpatterns  # noqa: E402
from snap.policies import require_policies  # noqa: E402


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, without its own copy of the headers: an eighth of what an idle socket takes."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        event.headers.clear()


async def answer_http(scope, receive, send):  # type: ignore[no-untyped-def]
    """Tell whoever asks this process over HTTP that it only speaks websocket."""
    await send(
        {"type": "http.response.start", "status": 426, "headers": [(b"upgrade", b"websocket")]}
    )
    await send({"type": "http.response.body", "body": b""})


require_policies(websocket_urlpatterns)
application = ProtocolTypeRouter(
    {
        "http": answer_http,
        "websocket": OriginValidator(URLRouter(websocket_urlpatterns), settings.WEBSOCKET_ORIGINS),
    }
)
