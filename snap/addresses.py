"""The client address of a request, behind any number of trusted proxies."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest

# Placeholder for an unknown client address. It is a valid IP, so callers can parse it.
UNKNOWN = "0.0.0.0"  # noqa: S104  # nosec B104

# Headers that proxies, tunnels and content delivery networks add: the standard ones, and what each
# calls the address of its client, such as CF-Connecting-IP.
FORWARDING_HEADER = re.compile(
    r"via|cdn-loop|.*forwarded.*|.*(ip|ipv6|addr|address)", re.IGNORECASE
)


def client_address(request: HttpRequest) -> str:
    """Return the client's IPv4 address, or the /64 network of its IPv6 address.

    Each of the TRUSTED_PROXIES appends the address of its client to X-Forwarded-For. The addresses
    further left can be forged by the client and are ignored.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return _trusted_address(request.META.get("REMOTE_ADDR", ""), forwarded)


def socket_address(scope: Any) -> str:
    """Return the same for the ASGI scope of a websocket."""
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    peer, _ = scope.get("client") or ("", 0)
    return _trusted_address(peer, b",".join(forwarded).decode("latin-1"))


def _trusted_address(peer: str, forwarded: str) -> str:
    if settings.TRUSTED_PROXIES:
        address = forwarded.split(",")[-settings.TRUSTED_PROXIES :][0]
        normal = normal_address(address.strip())
        if normal != UNKNOWN:
            return normal
    return normal_address(peer)


def is_this_machine(request: HttpRequest) -> bool:
    """Return whether the client runs on this machine and is no proxy or tunnel.

    Proxies and tunnels add a header that FORWARDING_HEADER matches.
    """
    if any(map(FORWARDING_HEADER.fullmatch, request.headers)):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def normal_address(text: str) -> str:
    """Return an address without port and zone; for IPv6 its /64 network, which is one subscriber.

    UNKNOWN for a text that is no address.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
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
