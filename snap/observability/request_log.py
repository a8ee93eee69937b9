"""One line for each HTTP request and each handshake, and the id that all their lines have."""

import logging
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from secrets import token_hex
from time import perf_counter
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch

from snap.observability.context import LogContext, begin, current
from snap.observability.redaction import hide_secrets
from snap.observability.request_metrics import route_of
from snap.resilience.overload import ARRIVED_AT

log = logging.getLogger("snap.requests")

Handler = Callable[[HttpRequest], HttpResponse]
Message = dict[str, Any]

HEADER = "X-Request-ID"
# Ids of nginx, Envoy, Traefik, HAProxy and load balancers of clouds.
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=-]{7,63}")
# Requests of monitoring systems.
CHECKS = frozenset({"/healthz", "/readyz", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LONGEST_PATH = 200
# Characters of a path that are searched for secrets, and kept in memory.
SEARCHED_PATH = 600
SWITCHING_PROTOCOLS = 101
FORBIDDEN = 403
FIRST_ERROR = 500


def log_requests(get_response: Handler) -> Handler:
    """Name the request in all lines and in the response, and log it. Takes under 25 µs.

    Files and checks of monitoring systems are logged at DEBUG. The time counts from the last byte
    of the request, so it includes the time that the request waited for its turn.
    """
    files = (settings.STATIC_URL, "/favicon.ico")

    def middleware(request: HttpRequest) -> HttpResponse:
        began = request.META.get(ARRIVED_AT) or perf_counter()
        request_id = choose_id(request.META.get("HTTP_X_REQUEST_ID", ""))
        begin(LogContext(request_id))
        try:
            response = get_response(request)
            path = request.path
            level = logging.INFO
            if response.status_code >= FIRST_ERROR:
                level = logging.WARNING
            elif path in CHECKS or path.startswith(files):
                level = logging.DEBUG
            if log.isEnabledFor(level):
                ticket_id = current().ticket_id or _ticket_of(request.resolver_match)
                method, route = request.method or "", route_of(request)
                log_line(level, method, path, route, response.status_code, began, ticket_id)
        finally:
            begin()
        response.headers[HEADER] = request_id
        return response

    return middleware


def choose_id(given: str) -> str:
    """Return the id that the nearest trusted proxy gave to a request, or a new one.

    The id of a client without a proxy does not count, nor one that could be a phone.
    """
    if given and settings.TRUSTED_PROXIES and is_well_formed(given):
        return given
    return token_hex(16)


def is_well_formed(request_id: str) -> bool:
    if not _WELL_FORMED.fullmatch(request_id):
        return False
    has_letter = any(map(str.isalpha, request_id))
    return has_letter and hide_secrets(request_id) == request_id


def log_line(
    level: int, method: str, path: str, route: str, status: int, began: float, ticket_id: str
) -> None:
    fields: Message = {
        "method": known_method(method),
        "path": safe_path(path[:SEARCHED_PATH]),
        "status": status,
        "duration_ms": round((perf_counter() - began) * 1000, 1),
        "route": route,
    }
    if ticket_id:
        fields["ticket_id"] = ticket_id
    log.log(level, "request", extra=fields)


def known_method(method: str) -> str:
    """Return a method, OTHER for one that a client has invented, and "" for none."""
    return method if method in METHODS or not method else "OTHER"


@lru_cache(maxsize=1024)
def safe_path(path: str) -> str:
    """Return a path without secrets and of a limited length.

    It is cut afterwards: half a phone or an email would not be found.
    """
    return hide_secrets(path)[:LONGEST_PATH]


def _ticket_of(match: ResolverMatch | None) -> str:
    if match is None:
        return ""
    return str(match.kwargs.get("ticket_id", ""))


# Websockets --------------------------------------------------------------------------------------


class HandshakeLog:
    """Names each handshake in all lines of its socket, and logs whether it was accepted."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request_id = choose_id(_header(scope["headers"], b"x-request-id"))
        began = perf_counter()
        begin(LogContext(request_id, _ticket_in(scope["path"])))
        is_open = True

        async def send_and_log(message: Message) -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                _log_handshake(message, scope["path"], began, request_id)
            await send(message)

        await self._application(scope, receive, send_and_log)


_TICKET = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _ticket_in(path: str) -> str:
    found = _TICKET.search(path)
    return found[0] if found else ""


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    given = [value for key, value in headers if key == name]
    return b",".join(given).decode("latin-1")


def _log_handshake(message: Message, path: str, began: float, request_id: str) -> None:
    """Log the first message of the application to a client, and add the id to its headers."""
    status = FORBIDDEN
    if message["type"] == "websocket.accept":
        status = SWITCHING_PROTOCOLS
    elif message["type"].endswith("http.response.start"):
        status = message["status"]
    if message["type"] != "websocket.close":
        added = (HEADER.lower().encode(), request_id.encode())
        message["headers"] = [*message.get("headers", ()), added]
    log_line(logging.INFO, "GET", path, "websocket", status, began, current().ticket_id)
