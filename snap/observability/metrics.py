"""Metrics of all processes of a host, for Prometheus and for /readyz."""

import hmac
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from snap.addresses import is_this_machine
from snap.limits.policy import MONITORING, limited
from snap.resilience.breaker import LEVELS, STATE, state_gauge


@limited(read=MONITORING)
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve the metrics of all processes to callers that `may_read_metrics` allows."""
    if not may_read_metrics(request):
        return HttpResponseForbidden("forbidden", content_type="text/plain")
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def may_read_metrics(request: HttpRequest) -> bool:
    """Return whether the caller has METRICS_TOKEN or, where none is set, runs on this machine.

    The settings require a token under HTTPS and behind a proxy, so only development has none.
    """
    if settings.METRICS_TOKEN:
        expected = f"Bearer {settings.METRICS_TOKEN}".encode()
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, expected)
    return is_this_machine(request)


def breaker_states() -> dict[str, str]:
    """Return the worst state of each breaker over all processes, by the breaker's name."""
    words = {level: word for word, level in LEVELS.items()}
    states = {}
    for metric in _breaker_metrics():
        for sample in metric.samples:
            states[sample.labels["name"]] = words[int(sample.value)]
    return states


def _breaker_metrics() -> Iterator[Metric]:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        yield from state_gauge.collect()
        return
    _remove_gauges_of_ended_processes(Path(folder))
    files = list(map(str, Path(folder).glob("gauge_livemax_*.db")))
    for metric in MultiProcessCollector.merge(files):  # type: ignore[no-untyped-call]
        if metric.name == STATE:
            yield metric


def _remove_gauges_of_ended_processes(folder: Path) -> None:
    """Remove the gauges of processes that have ended, whose breakers would stay open for ever."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # Another process has just removed the file.
                mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:
            continue  # The process runs as another user.


def _registry() -> CollectorRegistry:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return REGISTRY
    _remove_gauges_of_ended_processes(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
