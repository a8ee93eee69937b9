"""Checks of how guests reach SNAP: HTTPS, proxies, names."""

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from snap.setup import SETUP

# Names that only this machine knows, or nobody (RFC 2606, RFC 6761).
NOT_PUBLIC = re.compile(
    r"(.*\.)?(example|example\.(com|net|org)|invalid|test|localhost|local|localdomain)",
    re.IGNORECASE,
)


@register(SETUP, deploy=True)
def check_https(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report that guests would send codes and passes unencrypted."""
    if settings.HTTPS:
        return []
    return [
        Error(
            "PUBLIC_URL begins with http://: phones, codes and passes travel unencrypted, and the"
            " cookies of sessions can be read on the way.",
            hint="Set PUBLIC_URL to an address with https://, and let a proxy end TLS.",
            id="snap.E101",
        )
    ]


@register(SETUP, deploy=True)
def check_public_name(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report an address that QR codes and emails would carry, and that no guest can open."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    if not is_private_name(host):
        return []
    return [
        Error(
            f"PUBLIC_URL names {host}, which no guest can open: QR codes and the links in emails"
            " lead nowhere.",
            hint="Set PUBLIC_URL to the name under which guests reach SNAP.",
            id="snap.E102",
        )
    ]


def is_private_name(host: str) -> bool:
    """Return whether a host is only known on a machine or in a network, or to nobody."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or bool(NOT_PUBLIC.fullmatch(host))


@register(SETUP, deploy=True)
def check_proxies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report HTTPS without a trusted proxy. The web server of SNAP itself speaks HTTP only."""
    if settings.TRUSTED_PROXIES or not settings.HTTPS:
        return []
    return [
        Error(
            "TRUSTED_PROXIES is 0, but HTTPS ends at a proxy: each page redirects to itself, and"
            " all guests share the limits of one address.",
            hint="Set TRUSTED_PROXIES to the number of proxies that extend X-Forwarded-For.",
            id="snap.E103",
        )
    ]


@register(SETUP, deploy=True)
def check_websockets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report sockets at a port of their own, which pages under HTTPS must not open."""
    if not settings.WEBSOCKET_PORT or not settings.HTTPS:
        return []
    return [
        Error(
            f"WEBSOCKET_PORT is {settings.WEBSOCKET_PORT}: pages under HTTPS may not open"
            " unencrypted websockets, so they only poll.",
            hint="Set WEBSOCKET_PORT=0, and let the proxy forward /ws/ to the process `ws`.",
            id="snap.E104",
        )
    ]


@register(SETUP, deploy=True)
def check_origins(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of names and origins that allow every site."""
    found: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Warning(
                "ALLOWED_HOSTS has *: SNAP serves any name that a client makes up.",
                hint="Remove * from ALLOWED_HOSTS.",
                id="snap.W105",
            )
        )
    if "*" in settings.WEBSOCKET_ORIGINS:
        found.append(
            Warning(
                "WEBSOCKET_ORIGINS has *: pages of any site may open websockets.",
                hint="Remove * from WEBSOCKET_ORIGINS.",
                id="snap.W106",
            )
        )
    return found


@register(SETUP, deploy=True)
def check_debug(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report that errors show settings and source to visitors."""
    if not settings.DEBUG:
        return []
    return [
        Error(
            "DEBUG is on: errors show the source and the settings to visitors, and memory grows"
            " with each query.",
            hint="Remove DEBUG.",
            id="snap.E107",
        )
    ]
