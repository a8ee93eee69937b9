"""Requests by route, method and status. Their labels are few, whatever clients send."""

import random
import string
from collections.abc import Iterator
from contextlib import suppress
from time import perf_counter

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import Resolver404, get_resolver
from prometheus_client import REGISTRY

from snap.observability.request_metrics import count, count_requests
from snap.resilience.overload import ARRIVED_AT
from tests.factories import make_event

pytestmark = pytest.mark.django_db
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADEUP", "get"]


def series(prefix: str = "") -> set[tuple[str, tuple[str, ...]]]:
    """Return all series of the process, as their names and labels."""
    found = set()
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            if sample.name.startswith(prefix):
                found.add((sample.name, tuple(sample.labels.values())))
    return found


def counted(route: str, method: str, status: int) -> float:
    labels = {"route": route, "method": method, "status": str(status)}
    return REGISTRY.get_sample_value("http_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "route", "label", "status"),
    [
        ("GET", "/promo/", "promo:events", "GET", 200),
        ("HEAD", "/promo/", "promo:events", "HEAD", 200),
        ("POST", "/promo/", "promo:events", "POST", 405),
        ("PUT", "/promo/", "promo:events", "other", 405),
        ("MADEUP", "/promo/", "promo:events", "other", 405),
        ("GET", "/promo/no-such-event/", "promo:event", "GET", 404),
        ("GET", "/healthz", "/healthz", "GET", 200),
        ("GET", "/PROMO/x", "promo.views.untidy_link", "GET", 302),
        ("GET", "/no/such/page", "unknown", "GET", 404),
        ("GET", "/admin/guests/guest/1/change/", "admin", "GET", 302),
        ("GET", "/admin/no/such/page/", "admin", "GET", 302),
        ("GET", "/static/none.css", "static", "GET", 404),
        ("GET", "/promo/%00", "unknown", "GET", 400),
    ],
)
def test_a_request_is_counted(
    client: Client, method: str, path: str, route: str, label: str, status: int
) -> None:
    before = counted(route, label, status)
    assert client.generic(method, path).status_code == status
    assert counted(route, label, status) == before + 1


def test_the_wait_for_a_turn_is_part_of_the_duration(rf: RequestFactory) -> None:
    labels = {"route": "unknown"}
    name = "http_request_duration_ms_sum"
    before = REGISTRY.get_sample_value(name, labels) or 0.0
    request = rf.get("/")
    request.META[ARRIVED_AT] = perf_counter() - 3
    count_requests(lambda _request: HttpResponse())(request)
    took = (REGISTRY.get_sample_value(name, labels) or 0.0) - before
    assert 3000 <= took < 60_000


def test_a_request_outside_of_the_server_is_measured_from_its_middleware(
    rf: RequestFactory,
) -> None:
    """As in `runserver`."""
    count_requests(lambda _request: HttpResponse())(rf.get("/"))


def random_text(length: int) -> str:
    return "".join(random.choices(string.ascii_letters + string.digits + "-/.%é", k=length))


def journeys(number: int) -> Iterator[dict[str, object]]:
    """Yield odd requests, each with a path, a method and headers of its own."""
    paths = ["/{}", "/promo/{}/", "/promo/{}/{}/phone/", "/guest/{}", "/admin/{}", "/static/{}"]
    paths += ["/api/{}", "/promo/e/ticket/{}/", "/metrics?{}", "/media/qr/{}.png", "/i18n/{}"]
    for _ in range(number):
        path = random.choice(paths).format(random_text(8), random_text(8))
        yield {
            "method": random.choice([*METHODS, random_text(5).upper()]),
            "path": path,
            "HTTP_USER_AGENT": random_text(12),
            "HTTP_HOST": f"{random_text(6)}.example",
            "REMOTE_ADDR": f"192.0.2.{random.randrange(256)}",
        }


@pytest.mark.slow
def test_10_000_journeys_add_no_series(rf: RequestFactory) -> None:
    """Requests are routed and counted as the middleware does, without the views between."""
    resolver = get_resolver()

    before = series()
    random.seed(1)
    for journey in journeys(10_000):
        request = rf.generic(**journey)  # type: ignore[arg-type]
        with suppress(Resolver404):
            request.resolver_match = resolver.resolve(request.path_info)
        count(request, random.choice([200, 404]), 1.0)
    added = series() - before
    assert {name.rpartition("_")[0] for name, _ in added} <= {
        "http_requests",
        "http_request_duration_ms",
    }
    # Tests before this one may have counted any route of the site.
    by_route = [labels for name, labels in added if name == "http_requests_total"]
    assert {method for _, method, _ in by_route} <= {"GET", "HEAD", "POST", "other"}
    assert len({route for route, _, _ in by_route}) < 60
    assert len(added) < 800


def test_journeys_of_guests_add_no_series(client: Client) -> None:
    def visit(number: int) -> None:
        event = make_event()
        for journey in journeys(number):
            client.generic(str(journey["method"]), str(journey["path"]))
        client.get(f"/promo/{event.slug}/")
        client.post(f"/promo/{event.slug}/-/phone/", {"phone": "+351912345678"})

    random.seed(7)
    visit(60)
    few = series()
    random.seed(7)
    visit(60)
    assert series() == few
