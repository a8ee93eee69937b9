"""Checks of the Redis servers: reachable, with bounded memory, and a broker that keeps its keys."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from snap.setup import SERVERS

ROLES = ("CACHE_URL", "LIMITS_URL", "CHANNELS_URL", "BROKER_URL")
LOCAL = ("", "localhost", "127.0.0.1", "::1")
PROBE_KEY = "snap:check_setup"
SECONDS = 2.0


@register(SERVERS, deploy=True)
def check_redis(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report what is wrong with each server that plays one of the four roles."""
    if not databases:
        return []
    found: list[CheckMessage] = []
    for server, roles in _servers().items():
        found += _check_server(server, roles)
    return found


def _servers() -> dict[str, dict[str, str]]:
    """Return the roles of each server, with their addresses."""
    servers: dict[str, dict[str, str]] = {}
    for role in ROLES:
        url = getattr(settings, role)
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2] or parts.path
        servers.setdefault(place, {})[role] = url
    return servers


def _check_server(server: str, roles: dict[str, str]) -> list[CheckMessage]:
    names = ", ".join(roles)
    try:
        information = _ask(roles)
    except (RedisError, OSError) as error:
        return [
            Error(
                f"Redis at {server} ({names}) takes no writes: {type(error).__name__}.",
                hint="Start it, free its disk or memory, or correct its address. Then check again.",
                id="snap.E131",
            )
        ]
    found = _check_memory(server, names, information)
    if "BROKER_URL" in roles:
        found += _check_broker(server, information)
    found += check_protection(server, next(iter(roles.values())))
    return found


def _ask(roles: dict[str, str]) -> dict[str, Any]:
    """Write into each role's database. Return what the server says of itself."""
    information: dict[str, Any] = {}
    for url in roles.values():
        with _client(url) as redis:
            redis.set(PROBE_KEY, 1, ex=1)
            information = dict(redis.info())
    return information


def _client(url: str) -> Redis:
    return Redis.from_url(
        url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=Retry(NoBackoff(), 0)
    )


def _check_memory(server: str, names: str, information: dict[str, Any]) -> list[CheckMessage]:
    if information.get("maxmemory"):
        return []
    return [
        Warning(
            f"Redis at {server} ({names}) has no maxmemory: it may grow until the system ends it.",
            hint="Set maxmemory to what the machine can spare.",
            id="snap.W132",
        )
    ]


def _check_broker(server: str, information: dict[str, Any]) -> list[CheckMessage]:
    """Report a broker that drops messages: while memory is short, or at a restart."""
    found: list[CheckMessage] = []
    policy = information.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            Error(
                f"The broker at {server} evicts keys ({policy}): wake-ups of workers get lost.",
                hint="Set maxmemory-policy noeviction, or give BROKER_URL a server of its own.",
                id="snap.E133",
            )
        )
    if not information.get("aof_enabled"):
        found.append(
            Warning(
                f"The broker at {server} forgets its messages at a restart: requests and emails"
                " then wait for the sweeper.",
                hint="Set appendonly yes.",
                id="snap.W134",
            )
        )
    return found


def check_protection(server: str, url: str) -> list[CheckMessage]:
    """Warn of a server in the network that asks for no password."""
    parts = urlsplit(url)
    host = ""
    with suppress(ValueError):
        host = parts.hostname or ""
    if host in LOCAL or parts.scheme == "unix" or parts.password:
        return []
    return [
        Warning(
            f"Redis at {server} asks for no password: all who reach it can change limits"
            " and send tasks.",
            hint="Set requirepass or ACLs, and write the password into the address.",
            id="snap.W135",
        )
    ]
