"""Enforces the policies of routes, and refuses requests past a limit (docs/reference.md, Limits).

One question to Redis checks all limits of a request: its address, and the phone where it is about
one. Only a refused request is looked at closer: an address of a venue has the venue's rate, and a
browser that has solved a challenge has a budget of its own. Failures are counted afterwards, by
django-ratelimit. Past a route's allowance a block is set, which the same question reads.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django_ratelimit.core import get_usage

from accounts.sessions import BROWSER_KEY, account_phone, is_own_phone
from guests.requests.line import venues
from promo.limits.challenge import pass_of
from promo.limits.responses import render_too_many
from snap.addresses import client_address, socket_address
from snap.limits.counters import acquire, acquire_locally, block_for, hits
from snap.limits.layers import WINDOW, Decision, DistinctLimit, Layer, LayerStatus, hash_of
from snap.limits.policy import SOCKETS, Policy, account_in_session, policy_of

log = logging.getLogger(__name__)

# Digits that the numbers of one block differ in.
BLOCK_DIGITS = 3
# Statuses of what does not exist. They have an allowance of their own on all routes together.
MISSING = {404, 405}

View = Callable[..., HttpResponseBase]
Handler = Callable[[HttpRequest], HttpResponseBase]


@dataclass(frozen=True)
class Budget:
    """The limits that a request counts in, and the key that its failures count for."""

    requests: Layer
    failing: str
    phone: Layer | None = None
    distinct_limits: tuple[DistinctLimit, ...] = ()
    # A route forgives this budget so many times its allowance.
    times: int = 1

    def layers(self) -> list[Layer]:
        return [self.requests, self.phone] if self.phone else [self.requests]


@dataclass
class Limiting:
    """What was decided about a request, kept for its response."""

    policy: Policy
    phone: str
    budget: Budget
    decision: Decision


class LimitsMiddleware:
    """Lets a request pass or answers 429, counts failures, and adds the headers of the limits."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        limiting: Limiting | None = getattr(request, "limiting", None)
        if response.status_code in MISSING:
            response = count_missing(request, response)
        elif limiting is not None and limiting.decision.allowed:
            count_failure(request, limiting, response.status_code)
        if limiting is not None:
            add_rate_limit_headers(response, limiting.decision.statuses)
        return response

    def process_view(
        self, request: HttpRequest, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        declared = policy_of(view)
        policy = declared.for_method(request.method) if declared else None
        if policy is None:
            return None
        limiting = decide(request, policy)
        request.limiting = limiting  # type: ignore[attr-defined]
        if limiting.decision.allowed:
            return None
        return refuse(request, limiting.decision, purpose_of(limiting))


def refuse(request: HttpRequest, decision: Decision, purpose: str = "") -> HttpResponse:
    """Return the 429. `purpose`: what a challenge would lift, "" when none would."""
    for layer in decision.refused_by:
        hits.labels(layer).inc()
    match = request.resolver_match
    route = match.route if match else ""
    log.info("rate_limited", extra={"layers": ",".join(decision.refused_by), "route": route})
    return render_too_many(request, decision.retry_after, purpose)


def decide(request: HttpRequest, policy: Policy) -> Limiting:
    """Ask for the usual budget, and only when that is used up for those that go beyond it."""
    phone = policy.phone(request) if policy.phone else ""
    limiting = ask(policy, phone, usual_budget(request, policy, phone))
    if not policy.is_shared:
        return limiting
    for beyond in (venue_budget, own_budget):
        if limiting.decision.allowed:
            break
        if budget := beyond(request, limiting):
            limiting = ask(policy, phone, budget)
    return limiting


def ask(policy: Policy, phone: str, budget: Budget) -> Limiting:
    blocks = [f"{policy.route} {budget.failing}"] if budget.failing else []
    decision = acquire(budget.layers(), blocks, budget.distinct_limits)
    return Limiting(policy, phone, budget, decision)


def usual_budget(request: HttpRequest, policy: Policy, phone: str) -> Budget:
    address = client_address(request)
    owner = policy.owner(request) if policy.owner else ""
    return Budget(
        requests=Layer(policy.layer, owner or address, policy.requests_a_minute),
        failing=failing_key(request, address, phone) if policy.route else "",
        phone=Layer("phone", f"{address} {phone}", settings.LIMIT_PHONE) if phone else None,
        distinct_limits=distinct_phones(request, address, phone),
    )


def failing_key(request: HttpRequest, address: str, phone: str) -> str:
    """Return for whom a failure counts: nobody else is refused for it.

    The account, or the phone at this address, or the browser. The failures of browsers without an
    id count for the other browsers without one at this address.
    """
    if account := account_in_session(request):
        return f"account {account}"
    if phone:
        return f"{address} {phone}"
    if browser := request.session.get(BROWSER_KEY):
        return f"browser {browser}"
    return f"anonymous {address}"


def distinct_phones(
    request: HttpRequest, address: str, phone: str, *, is_venue: bool = False
) -> tuple[DistinctLimit, ...]:
    """Return the limits of different phones, which no challenge lifts.

    A response tells whether a phone has an account. None for a phone that has signed in in this
    browser: its owner learns nothing, and strangers cannot keep them out.
    """
    if not phone or phone == account_phone(request) or is_own_phone(request, phone):
        return ()
    block = phone[:-BLOCK_DIGITS]
    found = [DistinctLimit("phones_block", block, settings.LIMIT_PHONES_BLOCK, phone)]
    if browser := request.session.get(BROWSER_KEY):
        found.append(DistinctLimit("phones_browser", browser, settings.LIMIT_PHONES_BROWSER, phone))
    if is_venue:
        found.append(DistinctLimit("phones_address", address, settings.LIMIT_PHONES_VENUE, phone))
    else:
        near = f"{address} {block}"
        found.append(DistinctLimit("phones_address", address, settings.LIMIT_PHONES_ADDRESS, phone))
        found.append(DistinctLimit("phones_near", near, settings.LIMIT_PHONES_NEAR, phone))
    return tuple(found)


def venue_budget(request: HttpRequest, limiting: Limiting) -> Budget | None:
    """Return the budget of a network that some event names as its venue's."""
    address = client_address(request)
    usual = limiting.budget
    if usual.requests.subject != address or not venues.have(address):
        return None
    return Budget(
        requests=Layer("ip", f"venue {address}", settings.LIMIT_VENUE),
        failing=usual.failing,
        phone=usual.phone,
        distinct_limits=distinct_phones(request, address, limiting.phone, is_venue=True),
        times=max(1, settings.LIMIT_VENUE // settings.LIMIT_IP),
    )


def own_budget(request: HttpRequest, limiting: Limiting) -> Budget | None:
    """Return the budget of a browser that has solved the challenge it was asked for."""
    found = pass_of(request, purpose_of(limiting))
    if found is None:
        return None
    browser, limit = found
    key = f"browser {browser} {limiting.phone}".rstrip()
    return Budget(
        requests=Layer("ip", f"browser {browser}", limit),
        # Not the key that is blocked: the challenge lifts that.
        failing=f"solved {key}" if limiting.policy.route else "",
        phone=Layer("phone", key, settings.LIMIT_PHONE) if limiting.phone else None,
        distinct_limits=limiting.budget.distinct_limits,
    )


def purpose_of(limiting: Limiting) -> str:
    """Return what a challenge is asked for: to go on with this phone, or from this address.

    "" when no challenge would help: past the limits of different phones, and of routes that have
    a layer of their own.
    """
    decision, budget = limiting.decision, limiting.budget
    if not limiting.policy.is_shared or decision.refused_by_distinct_limit:
        return ""
    return "phone" if budget.phone and "ip" not in decision.refused_by else "address"


def count_failure(request: HttpRequest, limiting: Limiting, status: int) -> None:
    """Count a refused form or call; past the route's allowance, block its key on that route."""
    policy, budget = limiting.policy, limiting.budget
    is_failure = 400 <= status < 500 and status not in policy.forgives
    if not budget.failing or not is_failure or status == 429 or limiting.decision.is_local:
        return
    allowance = settings.LIMIT_ROUTES[policy.route] * budget.times
    usage = get_usage(
        request,
        group=policy.route,
        key=lambda group, request: hash_of(budget.failing),
        rate=f"{allowance}/m",
        increment=True,
    )
    if usage and usage["count"] >= allowance:
        block_for(f"{policy.route} {budget.failing}", usage["time_left"])


def count_missing(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Count what does not exist, and past its allowance answer 429. No other route is touched."""
    key = failing_key(request, client_address(request), "")
    decision = acquire([Layer("missing", key, settings.LIMIT_ROUTES["promo_pages"])])
    return response if decision.allowed else refuse(request, decision)


def allows_handshake(scope: Any, session: Any) -> bool:
    """Say whether a websocket may open, before its ticket is looked up.

    Each process counts by itself: a round trip would hold up all sockets of its event loop.
    """
    layers = [Layer("sockets_address", socket_address(scope), settings.LIMIT_SOCKETS_ADDRESS)]
    if account := session.get(SESSION_KEY):
        layers.append(Layer(SOCKETS.layer, f"account {account}", SOCKETS.requests_a_minute))
    decision = acquire_locally(layers)
    for layer in decision.refused_by:
        hits.labels(layer).inc()
    return decision.allowed


def add_rate_limit_headers(response: HttpResponseBase, statuses: tuple[LayerStatus, ...]) -> None:
    """Name the limits and what is left, in the fields of the present draft and the older ones.

    The limits of different phones are left out: they tell what others have asked for.
    """
    shown = [each for each in statuses if isinstance(each.layer, Layer)]
    if not shown:
        return
    response["RateLimit-Policy"] = ", ".join(
        f'"{each.layer.name}";q={each.layer.limit};w={WINDOW}' for each in shown
    )
    response["RateLimit"] = ", ".join(
        f'"{each.layer.name}";r={each.remaining};t={each.reset}' for each in shown
    )
    tightest = min(shown, key=lambda each: (each.allowed, each.remaining))
    response["RateLimit-Limit"] = str(tightest.layer.limit)
    response["RateLimit-Remaining"] = str(tightest.remaining)
    response["RateLimit-Reset"] = str(tightest.reset)
