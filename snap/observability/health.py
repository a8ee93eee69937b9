"""What load balancers and Prometheus ask: alive, ready, and how it goes."""

import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from snap.addresses import is_this_machine
from snap.limits.policy import MONITORING, limited, unlimited
from snap.resilience.breaker import LEVELS, STATE, state_gauge
from snap.resilience.connections import deadline
from snap.resilience.database import breaker, database_answers

NOTHING_LEFT = 4
DATABASE_SECONDS = 2.0


# What the app that keeps the emergency journal puts here: can it be written?
journal_checks: list[Callable[[], bool]] = []
# What the app with the queued work puts here: do workers take it up? Asked once a second.
worker_checks: list[Callable[[], bool]] = []
ASK_WORKERS_EVERY = 1.0  # seconds
_workers_asked: tuple[float, bool] = (float("-inf"), True)


@unlimited("A constant answer for supervisors, which ask often and from few addresses.")
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Say that this process answers; no server is asked."""
    return HttpResponse("ok", content_type="text/plain")


@limited(read=MONITORING)
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether requests can be accepted, and at which level; 503 if they cannot.

    Level 2 also means that no worker takes up what is due: the sweeper does it then, some seconds
    later. Asks both servers anew each time: about 5 ms, at most 4.5 s. `breaker` is the database's
    in the process which happens to answer; `breakers` are the worst of all processes, mail's
    included.
    """
    database, redis, journal = (
        database_answers(),
        redis_answers(),
        all(check() for check in journal_checks),
    )
    workers = database and workers_work()
    now = level(
        database=database and breaker.state != "open",
        queue=redis and workers,
        journal=journal,
    )
    response = {
        "ready": now < NOTHING_LEFT,
        "level": now,
        "database": "ok" if database else "away",
        "redis": "ok" if redis else "away",
        "journal": "ok" if journal else "away",
        "workers": "ok" if workers else "away" if database else "unknown",
        "breaker": breaker.state,
        "breakers": breakers(),
    }
    return JsonResponse(response, status=503 if now == NOTHING_LEFT else 200)


@limited(read=MONITORING)
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve the numbers of all processes to those who hold METRICS_TOKEN, or to this machine."""
    if not may_read_metrics(request):
        return HttpResponseForbidden("forbidden", content_type="text/plain")
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def level(*, database: bool, queue: bool, journal: bool) -> int:
    """Return 1 (normal), 2 (direct: no broker or no workers), 3 (emergency: no database) or 4
    (nothing left).
    """
    if database:
        return 1 if queue else 2
    return 3 if journal else NOTHING_LEFT


def workers_work() -> bool:
    """Say whether workers take up what is due; at most a second old. True if nobody can say.

    Right after an outage of the database everything is overdue, and that is not the workers' doing.
    """
    global _workers_asked
    if breaker.returned_within(settings.SWEEP_TAKES_OVER):
        return True
    asked_at, response = _workers_asked
    if monotonic() < asked_at + ASK_WORKERS_EVERY:
        return response
    try:
        with deadline(DATABASE_SECONDS):
            response = all(check() for check in worker_checks)
    except (OperationalError, InterfaceError):
        return True
    _workers_asked = monotonic(), response
    return response


def breakers() -> dict[str, str]:
    """Return the worst state of each breaker over all processes, by the breaker's name."""
    words = {level: word for word, level in LEVELS.items()}
    return {
        sample.labels["name"]: words[int(sample.value)]
        for metric in _breaker_metrics()
        for sample in metric.samples
    }


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
    """Say whether the caller has the token or, where none is set, runs on this machine.

    Only development has none: settings refuse to load without one under HTTPS or behind a proxy.
    """
    if settings.METRICS_TOKEN:
        expected = f"Bearer {settings.METRICS_TOKEN}".encode()
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, expected)
    return is_this_machine(request)


def _breaker_metrics() -> Iterator[Metric]:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        yield from state_gauge.collect()
        return
    _forget_the_dead(Path(folder))
    states = [str(path) for path in Path(folder).glob("gauge_livemax_*.db")]
    for metric in MultiProcessCollector.merge(states):  # type: ignore[no-untyped-call]
        if metric.name == STATE:
            yield metric


def _forget_the_dead(folder: Path) -> None:
    """Remove the gauges of processes that are no more: what was open in them is open no longer."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # Another process has removed it in this moment.
                mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:
            continue  # It lives, as another user.


def _registry() -> CollectorRegistry:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return REGISTRY
    _forget_the_dead(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
