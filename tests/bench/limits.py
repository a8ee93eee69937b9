"""The cost of all limits for a request: `python -m tests.bench.limits` prints it as JSON.

It is the CPU of the web process for a page that does nothing, through the real middleware and
Valkey. `server` is the CPU that Valkey spends on one call of the script.
"""

import json
import os
from collections.abc import Callable
from statistics import median
from time import process_time

os.environ.setdefault("PYTEST_VERSION", "bench")  # The test settings then start the servers.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

ROUNDS, REQUESTS = 7, 2000


def microseconds(act: Callable[[], object]) -> float:
    """Return the CPU microseconds of one call: the median over ROUNDS."""
    act()
    taken = []
    for _ in range(ROUNDS):
        begun = process_time()
        for _ in range(REQUESTS):
            act()
        taken.append((process_time() - begun) / REQUESTS * 1e6)
    return round(median(taken), 1)


def main() -> None:
    import django

    django.setup()

    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.test import RequestFactory
    from django.urls import resolve
    from django_ratelimit.core import get_usage
    from redis import Redis

    from accounts.sessions import BROWSER_KEY
    from promo.limits.middleware import LimitsMiddleware
    from snap.limits.counters import acquire
    from snap.limits.layers import Layer

    made = RequestFactory()

    def pass_through(path: str, data: dict[str, str] | None) -> Callable[[], object]:
        template = made.post(path, data) if data else made.get(path)
        template.session = {BROWSER_KEY: "0" * 32}  # type: ignore[assignment]
        template.resolver_match = match = resolve(path)
        response = HttpResponse()

        def view(request: HttpRequest) -> HttpResponse:
            refused = middleware.process_view(request, match.func, (), {})
            assert refused is None
            return response

        middleware = LimitsMiddleware(view)
        return lambda: middleware(template)

    def four_decorators() -> None:
        for number in range(4):
            get_usage(request, group=f"g{number}", key="ip", rate="1000000/m", increment=True)

    request = made.get("/promo/")
    form = {"country": "PT", "phone": "961 234 567"}
    four = [Layer(name, "x", 10**9) for name in ("ip", "phone", "event", "system")]
    with Redis.from_url(settings.LIMITS_URL) as store:
        store.config_resetstat()
        found = {
            "page": microseconds(pass_through("/promo/festa/", None)),
            "phone_check": microseconds(pass_through("/promo/festa/-/phone/", form)),
        }
        spent = store.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]
        found["one_question_of_four_layers"] = microseconds(lambda: acquire(four, ["door"]))
    found["server"] = round(spent, 1)
    found["four_django_ratelimit_counts"] = microseconds(four_decorators)
    print(json.dumps({"unit": "microseconds of CPU a request", **found}, indent=2))


if __name__ == "__main__":
    main()
