"""Metrics of all processes of a host, for Prometheus and for /readyz."""

import hmac
from threading import Lock

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from snap.addresses import is_this_machine
from snap.limits.policy import MONITORING, limited
from snap.local_cache import LocalCache
from snap.metering.collecting import collect
from snap.observability.readings import read_memory
from snap.resilience.breaker import LEVELS, STATE

# Seconds for which a process shows the same figures. Many callers at once cost as much as one.
SHOWN_SECONDS = 1.0

_shown: LocalCache[str, bytes] = LocalCache(size=1, seconds=lambda: SHOWN_SECONDS)
_lock = Lock()


@limited(read=MONITORING)
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve the metrics of all processes to callers that `may_read_metrics` allows."""
    if not may_read_metrics(request):
        return HttpResponseForbidden("forbidden", content_type="text/plain")
    return HttpResponse(_text(), content_type=CONTENT_TYPE_LATEST)


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
    for metric in collect("gauge"):
        if metric.name == STATE:
            for sample in metric.samples:
                states[sample.labels["name"]] = words[int(sample.value)]
    return states


def _text() -> bytes:
    with _lock:
        text = _shown.get("text")
        if text is None:
            text = generate_latest(_Host())
            _shown.set("text", text)
    return text


class _Host:
    """The metrics of all processes of this host, for `generate_latest`."""

    def collect(self) -> list[Metric]:
        return [*collect(), memory_of_processes()]


def memory_of_processes() -> Metric:
    """Return the memory of each process, as the kernel tells it: also of one that hangs."""
    family = GaugeMetricFamily(
        "process_memory_bytes",
        "Resident memory of a process; memory that processes share counts for each",
        labels=["process"],
    )
    for name, size in read_memory().items():
        family.add_metric([name], size)
    return family
