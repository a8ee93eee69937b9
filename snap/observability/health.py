"""Health and readiness, for supervisors and load balancers."""

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from snap.limits.policy import MONITORING, limited, unlimited
from snap.local_cache import LocalCache
from snap.observability.metrics import breaker_states
from snap.resilience.connections import deadline
from snap.resilience.database import database_breaker, database_responds
from snap.resilience.workers import broker_and_workers

# The levels of service (docs/reference.md, Emergency levels).
NORMAL = 1
DIRECT = 2  # no broker or no workers
EMERGENCY = 3  # no database
UNAVAILABLE = 4  # no database and no journal

# Seconds that the checks of workers wait for the database.
WORKER_CHECK_TIMEOUT = 2.0
# Seconds for which a process caches the result of these checks.
WORKER_CHECK_SECONDS = 1.0

# Checks that apps register. Each returns whether the emergency journal can be written.
journal_checks: list[Callable[[], bool]] = []
# Checks that apps register. Each returns whether workers process what is due.
worker_checks: list[Callable[[], bool]] = []
_worker_results: LocalCache[str, bool] = LocalCache(size=1, seconds=lambda: WORKER_CHECK_SECONDS)


@dataclass(frozen=True)
class Health:
    """Whether each part responds, and the level of service that follows from that."""

    level: int
    database: bool
    redis: bool
    journal: bool
    # None: only the database could tell.
    workers: bool | None

    @property
    def is_ready(self) -> bool:
        return self.level < UNAVAILABLE


@unlimited("A constant response for supervisors, which ask often and from few addresses.")
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Return 200 while this process responds. It queries no server."""
    return HttpResponse("ok", content_type="text/plain")


@limited(read=MONITORING)
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Return whether requests can be accepted, and at which level; 503 if they cannot.

    Level 2 also means that no worker is connected to the broker, or none processes what is due: the
    sweeper does so some seconds later.
    Each call asks both servers, which takes about 5 ms and at most 4.5 s. `breaker` is the
    database's breaker in the process that responds. `breakers` are the worst states of all breakers
    over all processes.
    """
    health = read_health()
    content = {
        "ready": health.is_ready,
        "level": health.level,
        "database": _word(health.database),
        "redis": _word(health.redis),
        "journal": _word(health.journal),
        "workers": "unknown" if health.workers is None else _word(health.workers),
        "breaker": database_breaker.state,
        "breakers": breaker_states(),
    }
    return JsonResponse(content, status=200 if health.is_ready else 503)


def read_health() -> Health:
    """Ask the servers and workers. Takes about 5 ms, and at most 4.5 s."""
    database = database_responds()
    redis, workers_connected = broker_and_workers()
    journal = all(check() for check in journal_checks)
    workers = database and workers_respond() and (workers_connected or not redis)
    level = service_level(
        database=database and database_breaker.state != "open",
        queue=redis and workers,
        journal=journal,
    )
    return Health(level, database, redis, journal, workers if database else None)


def _word(is_there: bool) -> str:
    return "ok" if is_there else "away"


def service_level(*, database: bool, queue: bool, journal: bool) -> int:
    """Return the level of service that the available parts allow (docs/reference.md)."""
    if database and queue:
        return NORMAL
    if database:
        return DIRECT
    if journal:
        return EMERGENCY
    return UNAVAILABLE


def workers_respond() -> bool:
    """Return whether workers process what is due, cached for WORKER_CHECK_SECONDS.

    True if the database cannot tell, and in the first SWEEP_TAKES_OVER seconds after its outage,
    when everything is overdue whether workers run or not.
    """
    if database_breaker.returned_within(settings.SWEEP_TAKES_OVER):
        return True
    cached = _worker_results.get("workers")
    if cached is not None:
        return cached
    try:
        with deadline(WORKER_CHECK_TIMEOUT):
            result = all(check() for check in worker_checks)
    except (OperationalError, InterfaceError):
        return True
    _worker_results.set("workers", result)
    return result
