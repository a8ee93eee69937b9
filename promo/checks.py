"""System check of the websocket routes."""

from typing import Any

from django.core.checks import CheckMessage, register

from snap.checks import missing_policies


@register("limits")
def check_socket_policies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report each websocket route without a limits policy."""
    # Imported here because workers and most commands do not need the consumers.
    from promo.sockets.routing import websocket_urlpatterns

    return missing_policies(websocket_urlpatterns)
