"""The limits policy of each route, declared beside its view (docs/reference.md, Limits).

Every view and every websocket consumer carries `@limited(read=…, write=…)` or
`@unlimited("reason")`. A route without either does not start: `snap.checks` reports it, and
`snap.wsgi` and `snap.asgi` refuse it. This module only declares; `promo.limits` enforces.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver

View = TypeVar("View", bound=Callable[..., Any])
# Reads from a request whom or what a limit is about, "" when that is not known.
Reader = Callable[[HttpRequest], str]

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
ATTRIBUTE = "route_policy"


def account_in_session(request: HttpRequest) -> str:
    """Return the account that the session's signature names, without a query, or ""."""
    return str(request.session.get(SESSION_KEY) or "")


def account_key(request: HttpRequest) -> str:
    """Return the key of the budget of the account that is signed in, "" when none is."""
    account = account_in_session(request)
    return f"account {account}" if account else ""


@dataclass(frozen=True)
class Policy:
    """What counts on a route."""

    # The allowance of failures in LIMIT_ROUTES; policies of one name share it. "": failures do not
    # count. Pages need none: they guess nothing, send nothing, and 404s have an allowance anyway.
    route: str = ""
    # The phone that the request is about. With one, the phone's limits apply too.
    phone: Reader | None = None
    # The key of the budget that a request uses instead of the address'.
    owner: Reader | None = None
    # Client errors that count for nothing: 409 says how a list stands.
    forgives: frozenset[int] = frozenset({409})
    # The layer that counts requests, and the setting with its limit a minute. Only "ip", which all
    # ordinary pages share, has venues and can be lifted by a challenge.
    layer: str = "ip"
    limit: str = "LIMIT_IP"

    @property
    def is_shared(self) -> bool:
        return self.layer == "ip"

    @property
    def most(self) -> int:
        """Return how many requests a minute may pass."""
        limit: int = getattr(settings, self.limit)
        return limit


@dataclass(frozen=True)
class RoutePolicy:
    """The policies of a view: for safe methods, for all others. Both None: it has no limit."""

    read: Policy | None
    write: Policy | None
    unlimited_because: str = ""

    def for_method(self, method: str | None) -> Policy | None:
        return self.read if method in SAFE_METHODS else self.write


def limited(*, read: Policy | None = None, write: Policy | None = None) -> Callable[[View], View]:
    """Declare a view's policies. With only one, methods that the view refuses count by it too."""
    if read is None and write is None:
        raise ImproperlyConfigured("limited() needs a policy; unlimited() needs a reason.")
    return _declare(RoutePolicy(read or write, write or read))


def unlimited(reason: str) -> Callable[[View], View]:
    """Declare that a view has no limit, and why it needs none. Its 404s still count."""
    if not reason:
        raise ImproperlyConfigured("unlimited() needs a reason.")
    return _declare(RoutePolicy(None, None, reason))


def _declare(policy: RoutePolicy) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        try:
            setattr(view, ATTRIBUTE, policy)
        except AttributeError:  # A bound method.
            return decorate(_as_function(view))
        return view

    return decorate


def _as_function(view: View) -> View:
    @wraps(view)
    def function(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return function  # type: ignore[return-value]


def limit_all(
    patterns: Iterable[URLPattern | URLResolver], *, read: Policy, write: Policy | None = None
) -> None:
    """Give a policy to the views of other packages, apart from those that have one."""
    decorate = limited(read=read, write=write)
    for pattern, _ in _walk(patterns):
        if policy_of(pattern.callback) is None:
            pattern.callback = decorate(pattern.callback)


def policy_of(view: object) -> RoutePolicy | None:
    """Return what a view, or the ASGI application of a consumer, was declared with."""
    declared = getattr(view, ATTRIBUTE, None)
    if declared is None:
        declared = getattr(getattr(view, "consumer_class", None), ATTRIBUTE, None)
    return declared if isinstance(declared, RoutePolicy) else None


def undeclared(patterns: Iterable[URLPattern | URLResolver]) -> list[str]:
    """Return the routes that have no policy, through all resolvers."""
    return [path for pattern, path in _walk(patterns) if policy_of(pattern.callback) is None]


def require_policies(patterns: Iterable[URLPattern | URLResolver]) -> None:
    """Raise ImproperlyConfigured when a route has no policy."""
    if found := undeclared(patterns):
        raise ImproperlyConfigured(f"Routes without a limits policy: {', '.join(found)}")


def _walk(
    patterns: Iterable[URLPattern | URLResolver], prefix: str = ""
) -> Iterator[tuple[URLPattern, str]]:
    for each in patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, path)
        else:
            yield each, path


PAGES = Policy()
CREATE = Policy("guest_create")
STAFF = Policy(owner=account_key, layer="staff", limit="LIMIT_STAFF")
STAFF_CODE = Policy(owner=account_key, layer="staff_code", limit="LIMIT_SIGN_IN")
# Load balancers and Prometheus ask from few addresses, and cannot solve anything.
MONITORING = Policy(layer="monitoring", limit="LIMIT_MONITORING")
# For each account. LIMIT_SOCKETS_ADDRESS limits an address.
SOCKETS = Policy(layer="sockets", limit="LIMIT_SOCKETS")
