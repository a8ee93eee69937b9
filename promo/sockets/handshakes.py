"""What the handshake of a websocket says: the session, and the language of its page."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.http import parse_cookie

from snap.languages import choose_language

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


def read_session(scope: Any) -> Any:
    """Return the session in the cookie of the handshake, empty without a valid one."""
    return SessionStore(read_cookies(scope).get(settings.SESSION_COOKIE_NAME))


def read_cookies(scope: Any) -> dict[str, str]:
    """Return the cookies of the handshake, parsed as Django parses those of a request."""
    return parse_cookie(read_header(scope, b"cookie"))


def read_header(scope: Any, name: bytes) -> str:
    """Return a header of the handshake, "" without it."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


def read_language(scope: Any) -> str:
    """Return the language of the page that opened the socket."""
    return choose_language(
        cookie=read_cookies(scope).get(settings.LANGUAGE_COOKIE_NAME, ""),
        header=read_header(scope, b"accept-language"),
    )
