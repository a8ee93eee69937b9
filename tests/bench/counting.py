"""A process of its own that counts into files, as a web process does. It prints what that costs.

`python -m tests.bench.counting <folder> <times>` prints JSON: CPU microseconds by what is counted.
"""

import json
import os
import sys
from collections.abc import Callable
from time import process_time

SAMPLES = 5


def microseconds(function: Callable[[], object], times: int) -> float:
    """Return the CPU microseconds of one call: the least of some samples, as `timeit` does."""
    found = []
    for _ in range(SAMPLES):
        began = process_time()
        for _ in range(times):
            function()
        found.append((process_time() - began) / times * 1_000_000)
    return min(found)


def measure(times: int) -> dict[str, float]:
    import django

    django.setup()
    from django.http import HttpRequest, HttpResponse
    from django.test import RequestFactory
    from django.urls import resolve

    from accounts.phone_checks import in_cache
    from guests.requests.creating import batch_sizes
    from snap.observability.request_metrics import count_requests
    from snap.observability.steps import EVENT, count_step

    response = HttpResponse("x")
    request = RequestFactory().get("/promo/")
    request.resolver_match = resolve("/promo/")

    def respond(_request: HttpRequest) -> HttpResponse:
        return response

    counted = count_requests(respond)
    bare = microseconds(lambda: respond(request), times)
    return {
        "request": microseconds(lambda: counted(request), times) - bare,
        "step": microseconds(lambda: count_step(EVENT), times),
        "cache": microseconds(in_cache.hit, times),
        "histogram": microseconds(lambda: batch_sizes.observe(3), times),
    }


if __name__ == "__main__":
    os.environ |= {
        "PROMETHEUS_MULTIPROC_DIR": sys.argv[1],
        "SNAP_PROCESS": "web",
        "DJANGO_SETTINGS_MODULE": "snap.settings",
    }
    print(json.dumps(measure(int(sys.argv[2]))))
