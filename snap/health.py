"""What load balancers and Prometheus ask: alive, ready, and how it goes."""

import hmac
import ipaddress
import os
from collections.abc import Callable

import psycopg
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from .database import breaker

DATABASE_TIMEOUT = 1  # second
NOTHING_LEFT = 4


# What the app that keeps the emergency journal puts here: can it be written?
journal_checks: list[Callable[[], bool]] = []


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Say that this process answers; no server is asked."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether requests can be accepted, and at which level; 503 if they cannot.

    Asks both servers anew each time: about 5 ms, at most 1.5 s. `breaker` is that of the process
    which happens to answer.
    """
    database, redis, journal = (
        database_answers(),
        redis_answers(),
        all(check() for check in journal_checks),
    )
    now = level(database=database and breaker.state != "open", redis=redis, journal=journal)
    answer = {
        "ready": now < NOTHING_LEFT,
        "level": now,
        "database": "ok" if database else "away",
        "redis": "ok" if redis else "away",
        "journal": "ok" if journal else "away",
        "breaker": breaker.state,
    }
    return JsonResponse(answer, status=503 if now == NOTHING_LEFT else 200)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve the numbers of all processes to those who hold METRICS_TOKEN, or to this machine."""
    if not may_read_metrics(request):
        return HttpResponseForbidden("forbidden", content_type="text/plain")
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def level(*, database: bool, redis: bool, journal: bool) -> int:
    """Return 1 (normal), 2 (direct: no broker), 3 (emergency: no database) or 4 (nothing left)."""
    if database:
        return 1 if redis else 2
    return 3 if journal else NOTHING_LEFT


def database_answers() -> bool:
    """Ask over a connection of its own: a pool hands out what it believed in before a failure."""
    parameters = connection.get_connection_params() | {"connect_timeout": DATABASE_TIMEOUT}
    try:
        with psycopg.connect(**parameters) as own:
            own.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def redis_answers() -> bool:
    """Ask the broker, waiting at most REDIS_TIMEOUT seconds."""
    client = Redis.from_url(
        settings.BROKER_URL,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        socket_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with client:
            return bool(client.ping())
    except RedisError:
        return False


def may_read_metrics(request: HttpRequest) -> bool:
    """Say whether the caller has the token or, when there is none, is this machine itself."""
    if settings.METRICS_TOKEN:
        expected = f"Bearer {settings.METRICS_TOKEN}".encode()
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, expected)
    # A proxy on this machine speaks for visitors, and says so in this header.
    if "X-Forwarded-For" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
