"""Every route has a limits policy, admin and sockets included."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver, include, path

from promo.sockets.routing import websocket_urlpatterns
from snap.limits.policy import (
    PAGES,
    SAFE_METHODS,
    STAFF,
    limited,
    policy_of,
    require_policies,
    undeclared,
    unlimited,
)

ROUTES = [*get_resolver().url_patterns, *websocket_urlpatterns]


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def test_every_route_says_what_limits_it() -> None:
    assert undeclared(ROUTES) == []


def test_a_route_without_a_policy_does_not_start() -> None:
    nested = [path("outer/", include([path("inner/", bare)]))]
    assert undeclared(nested) == ["outer/inner/"]
    with pytest.raises(ImproperlyConfigured, match="outer/inner/"):
        require_policies(nested)


@pytest.mark.parametrize("declare", [lambda: limited(), lambda: unlimited("")])
def test_an_empty_policy_is_an_error(declare: object) -> None:
    with pytest.raises(ImproperlyConfigured):
        declare()  # type: ignore[operator]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "BREW"])
def test_a_method_that_a_view_does_not_allow_counts_as_well(method: str) -> None:
    declared = policy_of(limited(read=PAGES, write=STAFF)(lambda request: None))
    assert declared is not None
    assert declared.for_method(method) == (PAGES if method in SAFE_METHODS else STAFF)
    one = policy_of(limited(write=STAFF)(lambda request: None))
    assert one is not None
    assert one.for_method(method) == STAFF


def test_every_page_of_admin_is_limited() -> None:
    found = {name: policy_of(get_resolver().resolve(name).func) for name in ADMIN}
    assert all(declared and declared.write for declared in found.values()), found
    assert found["/admin/guests/guest/"] != found["/admin/login/"]


ADMIN = [
    "/admin/",
    "/admin/login/",
    "/admin/logout/",
    "/admin/second-factor/",
    "/admin/guests/guest/",
    "/admin/guests/guest/1/change/",
    "/admin/jsi18n/",
    "/admin/autocomplete/",
    "/admin/no/such/thing/",
]
