"""Where a request comes from, as far as it can be believed."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest

# Placeholder for an unknown client address. It is a valid IP, so callers can parse it.
UNKNOWN = "0.0.0.0"  # noqa: S104  # nosec B104

FORWARDING_HEADERS = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
)


def client_address(request: HttpRequest) -> str:
    """Return the client's IPv4 address, or the /64 network of its IPv6 address.

    Each of the TRUSTED_PROXIES has added the address it was called from on the right of
    X-Forwarded-For; what stands further left can be written by anybody, and is not read.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return _believed(request.META.get("REMOTE_ADDR", ""), forwarded)


def socket_address(scope: Any) -> str:
    """Return the same for the ASGI scope of a websocket."""
    forwarded = (value for name, value in scope["headers"] if name == b"x-forwarded-for")
    peer, _ = scope.get("client") or ("", 0)
    return _believed(peer, b",".join(forwarded).decode("latin-1"))


def _believed(peer: str, forwarded: str) -> str:
    if settings.TRUSTED_PROXIES:
        believed = forwarded.split(",")[-settings.TRUSTED_PROXIES :][0].strip()
        if (found := normal_address(believed)) != UNKNOWN:
            return found
    return normal_address(peer)


def is_this_machine(request: HttpRequest) -> bool:
    """Say whether the caller runs on this machine and forwards no other client's request.

    A proxy or tunnel on this machine speaks for visitors. It says so in one of these headers.
    """
    if any(name in request.headers for name in FORWARDING_HEADERS):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def normal_address(text: str) -> str:
    """Return one form for all that is one subscriber: without port or zone, IPv6 by /64."""
    text = text[1:].partition("]")[0] if text.startswith("[") else text
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address)
