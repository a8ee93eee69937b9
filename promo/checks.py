"""System checks of the websocket routes, and of the page about personal data."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from snap.checks import missing_policies
from snap.setup import SETUP


@register("limits")
def check_socket_policies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report each websocket route without a limits policy."""
    # Imported here because workers and most commands do not need the consumers.
    from promo.sockets.routing import websocket_urlpatterns

    return missing_policies(websocket_urlpatterns)


@register(SETUP, deploy=True)
def check_privacy(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of a page about personal data that names nobody to ask."""
    found: list[CheckMessage] = []
    if settings.PRIVACY_URL:
        return found
    if not settings.PRIVACY_CONTACT:
        found.append(
            Warning(
                "PRIVACY_CONTACT is not set: guests are not told where to write about their data.",
                hint="Set PRIVACY_CONTACT to an email, or PRIVACY_URL to a page of yours.",
                id="promo.W101",
            )
        )
    if not settings.PRIVACY_CONTROLLER:
        found.append(
            Warning(
                "PRIVACY_CONTROLLER is not set: guests are not told who is responsible for their"
                " data.",
                hint="Set PRIVACY_CONTROLLER to the name of your company or association.",
                id="promo.W102",
            )
        )
    return found
