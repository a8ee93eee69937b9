"""System checks of the websockets."""

from typing import Any

from django.core.checks import CheckMessage, register

from snap.checks import missing_policies


@register("limits")
def check_socket_policies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report each websocket route that has no limits policy."""
    # Imported when checks run: workers and most commands never need the consumers.
    from promo.sockets.routing import websocket_urlpatterns

    return missing_policies(websocket_urlpatterns)
