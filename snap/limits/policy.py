"""Policies: which limits apply to a route, declared at its view (docs/reference.md, Limits).

Every view and every websocket consumer carries `@limited(read=…, write=…)` or
`@unlimited("reason")`. A process with a route that has neither does not start: `snap.checks`
reports the route, and `snap.wsgi` and `snap.asgi` refuse it. This module only declares policies;
`promo.limits` enforces them.
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
# Returns the subject of a limit for a request, such as a phone; "" when it is not known.
Reader = Callable[[HttpRequest], str]

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
ATTRIBUTE = "route_policy"


def account_in_session(request: HttpRequest) -> str:
    """Return the id of the account in the signed session cookie, or "". No query."""
    return str(request.session.get(SESSION_KEY) or "")


def account_key(request: HttpRequest) -> str:
    """Return the budget key of the signed-in account, or "". No query."""
    account = account_in_session(request)
    if not account:
        return ""
    return f"account {account}"


@dataclass(frozen=True)
class Policy:
    """The limits of a route."""

    # The key in LIMIT_ROUTES of the allowance of failures, which policies of one name share. "":
    # failures are not counted. Pages need no allowance: a page cannot be used to guess values or to
    # send emails, and 404s have their own allowance.
    route: str = ""
    # Returns the phone that the request is about. The limits of phones apply to it.
    phone: Reader | None = None
    # Returns the key of the budget that counts the request instead of the address's budget.
    owner: Reader | None = None
    # Client errors that are not counted as failures: 409 only reports the state of a list.
    forgives: frozenset[int] = frozenset({409})
    # The layer that counts requests, and the setting with its limit a minute. Only the layer "ip",
    # which all ordinary pages share, has larger limits for venues and after a solved challenge.
    layer: str = "ip"
    limit: str = "LIMIT_IP"

    @property
    def is_shared(self) -> bool:
        return self.layer == "ip"

    @property
    def requests_a_minute(self) -> int:
        limit: int = getattr(settings, self.limit)
        return limit


@dataclass(frozen=True)
class RoutePolicy:
    """The policies of a view: `read` for safe methods, `write` for others. Both None: no limit."""

    read: Policy | None
    write: Policy | None
    unlimited_because: str = ""

    def for_method(self, method: str | None) -> Policy | None:
        if method in SAFE_METHODS:
            return self.read
        return self.write


def limited(*, read: Policy | None = None, write: Policy | None = None) -> Callable[[View], View]:
    """Declare a view's policies. With only one of them, it applies to all methods."""
    if read is None and write is None:
        raise ImproperlyConfigured("limited() needs a policy; unlimited() needs a reason.")
    return _declare(RoutePolicy(read or write, write or read))


def unlimited(reason: str) -> Callable[[View], View]:
    """Declare that a view has no limit, and the reason. Its 404s are still counted."""
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
    """Declare policies for all views that have none, such as those of other packages."""
    decorate = limited(read=read, write=write)
    for _, pattern in _walk(patterns):
        if policy_of(pattern.callback) is None:
            pattern.callback = decorate(pattern.callback)


def policy_of(view: object) -> RoutePolicy | None:
    """Return the policies of a view or of a consumer's ASGI application, or None."""
    declared = getattr(view, ATTRIBUTE, None)
    if declared is None:
        declared = getattr(getattr(view, "consumer_class", None), ATTRIBUTE, None)
    if not isinstance(declared, RoutePolicy):
        return None
    return declared


def undeclared(patterns: Iterable[URLPattern | URLResolver]) -> list[str]:
    """Return the paths of all routes, included ones too, that have no policy."""
    return [path for path, pattern in _walk(patterns) if policy_of(pattern.callback) is None]


def require_policies(patterns: Iterable[URLPattern | URLResolver]) -> None:
    """Raise ImproperlyConfigured when a route has no policy."""
    if found := undeclared(patterns):
        raise ImproperlyConfigured(f"Routes without a limits policy: {', '.join(found)}")


def _walk(
    patterns: Iterable[URLPattern | URLResolver], prefix: str = ""
) -> Iterator[tuple[str, URLPattern]]:
    """Yield the path and the pattern of each route, included ones too."""
    for each in patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, path)
        else:
            yield path, each


PAGES = Policy()
# Pages that load again when their event changes. Many phones behind one address load then, so each
# signed-in visitor has a budget of their own.
FOLLOWED_PAGES = Policy(owner=account_key)
CREATE = Policy("guest_create")
STAFF = Policy(owner=account_key, layer="staff", limit="LIMIT_STAFF")
STAFF_CODE = Policy(owner=account_key, layer="staff_code", limit="LIMIT_SIGN_IN")
# Load balancers and Prometheus send many requests from few addresses and solve no challenges.
MONITORING = Policy(layer="monitoring", limit="LIMIT_MONITORING")
# Counts by account. LIMIT_SOCKETS_ADDRESS is the limit of an address.
SOCKETS = Policy(layer="sockets", limit="LIMIT_SOCKETS")
