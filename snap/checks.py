"""System checks: `manage.py check`, and what every command runs before it starts."""

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.urls import get_resolver

from snap.limits.policy import undeclared


@register("limits")
def check_policies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report each route, HTTP or websocket, that has no limits policy."""
    # Loaded when checks run: workers and most commands have no use for consumers.
    from promo.sockets.routing import websocket_urlpatterns

    hint = "Add @limited(read=…, write=…) or @unlimited(reason) from snap.policies to its view."
    missing = undeclared(get_resolver().url_patterns) + undeclared(websocket_urlpatterns)
    return [Error(f"{path!r} has no limits policy.", hint=hint, id="snap.E001") for path in missing]
