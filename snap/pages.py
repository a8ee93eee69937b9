"""Addresses of pages and websockets that an app links to and an app above it serves.

Apps import one way only, and the name of a route in a string is a hidden import. The app that
serves a page registers its route here, and any app gets the address by the page's name.
"""

from collections.abc import Callable

from django.conf import settings
from django.urls import reverse

_routes: dict[str, str] = {}
_find_event_page: Callable[[str], str] | None = None


def register_page(name: str, route: str) -> None:
    """Register the route, such as `promo:event`, that serves the page `name`."""
    _routes[name] = route


def register_event_pages(find: Callable[[str], str]) -> None:
    """Register the function that finds the event's page for the path of a step or ticket."""
    global _find_event_page
    _find_event_page = find


def event_page_of(path: str) -> str:
    """Return the page of the event, with its promoter, that a path is below; "" for others."""
    if _find_event_page is None:
        return ""
    return _find_event_page(path)


def page_path(name: str, *args: object) -> str:
    """Return the path of a page. Raises KeyError for a page that no app has registered."""
    return reverse(_routes[name], args=args)


def privacy_url() -> str:
    """Return the address of the page about personal data: PRIVACY_URL, else our own page."""
    return settings.PRIVACY_URL or page_path("privacy")


def page_url(name: str, *args: object) -> str:
    """Return the full address of a page, on PUBLIC_URL."""
    return f"{settings.PUBLIC_URL}{page_path(name, *args)}"


def websocket_url(kind: str, key: str, host: str) -> str:
    """Return the URL of a page's websocket: a path behind a proxy, else that of the ws process.

    `kind` and `key` are the parts of a path in `promo/sockets/routing.py`. `host` is as in the Host
    header.
    """
    path = f"/ws/{kind}/{key}/"
    if not settings.WEBSOCKET_PORT:
        return path
    return f"ws://{host.rsplit(':', 1)[0]}:{settings.WEBSOCKET_PORT}{path}"
