"""Enforce the policies of routes, and refuse requests past a limit (docs/reference.md, Limits).

One round trip to Redis checks all limits of a request: those of its client and, when the request is
about a phone, those of the phone. Only when these refuse it are others tried: a venue's network has
a higher limit, and a browser that has solved a challenge has limits of its own.

Failures are counted after the response, by django-ratelimit. When a route's allowance is used up, a
block key is set in Redis; the round trip of the next request reads that key too.
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
from guests.venue_networks import venue_networks
from promo.limits.challenge import find_exemption
from promo.limits.too_many import render_too_many
from snap.addresses import client_address, socket_address
from snap.control.switches import CHALLENGE, is_on
from snap.limits.counters import acquire, acquire_locally, block_for, rate_limit_hits
from snap.limits.layers import WINDOW, Decision, DistinctLimit, Layer, LayerStatus, hash_of
from snap.limits.policy import SOCKETS, Policy, Reader, account_in_session, policy_of
from snap.request_values import RequestValue

log = logging.getLogger(__name__)

# Phones that differ only in this many last digits are in one block.
BLOCK_DIGITS = 3
# Responses with these statuses are counted together over all routes, for each client.
MISSING_STATUSES = {404, 405}

View = Callable[..., HttpResponseBase]
Handler = Callable[[HttpRequest], HttpResponseBase]


@dataclass(frozen=True)
class RequestLimits:
    """The limits that a request counts in, and the key that its failure counts for."""

    requests: Layer
    # "" when failures do not count.
    failure_key: str
    phone: Layer | None = None
    distinct_limits: tuple[DistinctLimit, ...] = ()
    # Multiplies the route's allowance of failures.
    allowance_factor: int = 1

    def layers(self) -> list[Layer]:
        if self.phone is None:
            return [self.requests]
        return [self.requests, self.phone]


@dataclass
class LimitCheck:
    """The limits that were checked for a request, and the decision. Kept for its response."""

    policy: Policy
    phone: str
    limits: RequestLimits
    decision: Decision


_limit_check: RequestValue[LimitCheck] = RequestValue("limit_check")


class LimitsMiddleware:
    """Check the limits of each request, count failures and add rate limit headers."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        check = _limit_check.get(request)
        if response.status_code in MISSING_STATUSES:
            response = count_missing(request, response)
        elif check is not None and check.decision.allowed:
            count_route_failure(request, check, response.status_code)
        if check is not None:
            add_rate_limit_headers(response, check.decision.statuses)
        return response

    def process_view(
        self, request: HttpRequest, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        declared = policy_of(view)
        if declared is None:
            return None
        policy = declared.for_method(request.method)
        if policy is None:
            return None
        check = check_request(request, policy)
        _limit_check.set(request, check)
        if check.decision.allowed:
            return None
        return refuse(request, check.decision, challenge_purpose(check))


def refuse(request: HttpRequest, decision: Decision, purpose: str = "") -> HttpResponse:
    """Return the 429 response. `purpose` is a purpose of challenges, or "" to offer none."""
    for layer in decision.refused_by:
        rate_limit_hits.labels(layer).inc()
    route = getattr(request.resolver_match, "route", "")
    log.info("rate_limited", extra={"layers": ",".join(decision.refused_by), "route": route})
    return render_too_many(request, decision.retry_after, purpose)


def check_request(request: HttpRequest, policy: Policy) -> LimitCheck:
    """Count a request in its default limits; when they refuse it, in the limits of its venue, and
    then in those of its browser's challenge.

    One round trip to Redis for each of these that applies.
    """
    phone = _read(policy.phone, request)
    check = _acquire_limits(policy, phone, default_limits(request, policy, phone))
    if not policy.is_shared:
        return check
    for higher_limits in (venue_limits, challenge_limits):
        if check.decision.allowed:
            break
        if limits := higher_limits(request, check):
            check = _acquire_limits(policy, phone, limits)
    return check


def _read(reader: Reader | None, request: HttpRequest) -> str:
    """Return the value that a policy's reader finds in a request, "" without a reader."""
    if reader is None:
        return ""
    return reader(request)


def _acquire_limits(policy: Policy, phone: str, limits: RequestLimits) -> LimitCheck:
    blocks = []
    if limits.failure_key:
        blocks.append(_block_name(policy, limits))
    decision = acquire(limits.layers(), blocks, limits.distinct_limits)
    return LimitCheck(policy, phone, limits, decision)


def _block_name(policy: Policy, limits: RequestLimits) -> str:
    return f"{policy.route} {limits.failure_key}"


def default_limits(request: HttpRequest, policy: Policy, phone: str) -> RequestLimits:
    """Return the limits of the policy's owner, or of the address when the owner is not known."""
    address = client_address(request)
    owner = _read(policy.owner, request)
    key = ""
    if policy.route:
        key = failure_key(request, address, phone)
    return RequestLimits(
        requests=Layer(policy.layer, owner or address, policy.requests_a_minute),
        failure_key=key,
        phone=_phone_layer(f"{address} {phone}", phone),
        distinct_limits=distinct_phone_limits(request, address, phone),
    )


def _phone_layer(key: str, phone: str) -> Layer | None:
    if not phone:
        return None
    return Layer("phone", key, settings.LIMIT_PHONE)


def failure_key(request: HttpRequest, address: str, phone: str) -> str:
    """Return the key that a failure of this request counts for; other clients have other keys.

    It is the account, else the phone at this address, else the browser. Browsers without an id at
    one address share a key.
    """
    if account := account_in_session(request):
        return f"account {account}"
    if phone:
        return f"{address} {phone}"
    if browser := request.session.get(BROWSER_KEY):
        return f"browser {browser}"
    return f"anonymous {address}"


def distinct_phone_limits(
    request: HttpRequest, address: str, phone: str, *, is_venue: bool = False
) -> tuple[DistinctLimit, ...]:
    """Return the limits of different phones. No challenge lifts them.

    They slow down clients that test which phones have an account. A phone that has signed in in
    this browser has none: its owner learns nothing new, and strangers cannot lock the owner out.
    """
    if not phone or phone == account_phone(request) or is_own_phone(request, phone):
        return ()
    block = phone[:-BLOCK_DIGITS]
    limits = [DistinctLimit("phones_block", block, settings.LIMIT_PHONES_BLOCK, phone)]
    if browser := request.session.get(BROWSER_KEY):
        limits.append(
            DistinctLimit("phones_browser", browser, settings.LIMIT_PHONES_BROWSER, phone)
        )
    if is_venue:
        limits.append(DistinctLimit("phones_address", address, settings.LIMIT_PHONES_VENUE, phone))
    else:
        near = f"{address} {block}"
        limits.append(
            DistinctLimit("phones_address", address, settings.LIMIT_PHONES_ADDRESS, phone)
        )
        limits.append(DistinctLimit("phones_near", near, settings.LIMIT_PHONES_NEAR, phone))
    return tuple(limits)


def venue_limits(request: HttpRequest, check: LimitCheck) -> RequestLimits | None:
    """Return the limits of an address in the network of an event's venue, None for any other."""
    address = client_address(request)
    refused = check.limits
    if refused.requests.subject != address or not venue_networks.contain(address):
        return None
    return RequestLimits(
        requests=Layer("ip", f"venue {address}", settings.LIMIT_VENUE),
        failure_key=refused.failure_key,
        phone=refused.phone,
        distinct_limits=distinct_phone_limits(request, address, check.phone, is_venue=True),
        allowance_factor=max(1, settings.LIMIT_VENUE // settings.LIMIT_IP),
    )


def challenge_limits(request: HttpRequest, check: LimitCheck) -> RequestLimits | None:
    """Return the limits of a browser that has solved the challenge for this refusal, else None."""
    exemption = find_exemption(request, challenge_purpose(check))
    if exemption is None:
        return None
    browser, limit = exemption
    browser_and_phone = f"browser {browser} {check.phone}".rstrip()
    key = ""
    if check.policy.route:
        # The challenge lifts the block of the default key, so failures count for another key.
        key = f"solved {browser_and_phone}"
    return RequestLimits(
        requests=Layer("ip", f"browser {browser}", limit),
        failure_key=key,
        phone=_phone_layer(browser_and_phone, check.phone),
        distinct_limits=check.limits.distinct_limits,
    )


def challenge_purpose(check: LimitCheck) -> str:
    """Return the purpose of the challenge that lifts a refusal: "phone" or "address".

    "" when no challenge lifts it: for the limits of different phones, for routes that count
    requests in a layer of their own, and while staff have turned the challenge off.
    """
    decision = check.decision
    if not is_on(CHALLENGE) or not check.policy.is_shared or decision.refused_by_distinct_limit:
        return ""
    if check.limits.phone is None or "ip" in decision.refused_by:
        return "address"
    return "phone"


def count_route_failure(request: HttpRequest, check: LimitCheck, status: int) -> None:
    """Count a response that refuses a form or a call. Block its key past the route's allowance."""
    policy, limits = check.policy, check.limits
    is_failure = 400 <= status < 500 and status != 429 and status not in policy.forgives
    if not is_failure or not limits.failure_key or check.decision.is_local:
        return
    allowance = settings.LIMIT_ROUTES[policy.route] * limits.allowance_factor
    usage = get_usage(
        request,
        group=policy.route,
        key=lambda group, request: hash_of(limits.failure_key),
        rate=f"{allowance}/m",
        increment=True,
    )
    if usage and usage["count"] >= allowance:
        block_for(_block_name(policy, limits), usage["time_left"])


def count_missing(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Count a 404 or 405, and replace it by a 429 past the allowance. Blocks no route."""
    key = failure_key(request, client_address(request), "")
    decision = acquire([Layer("missing", key, settings.LIMIT_ROUTES["promo_pages"])])
    if decision.allowed:
        return response
    return refuse(request, decision)


def allows_handshake(scope: Any, session: Any) -> bool:
    """Say whether a websocket may open. Its ticket is looked up only afterwards.

    Each process counts by itself: a round trip to Redis would block all sockets of its event loop.
    """
    layers = [Layer("sockets_address", socket_address(scope), settings.LIMIT_SOCKETS_ADDRESS)]
    if account := session.get(SESSION_KEY):
        layers.append(Layer(SOCKETS.layer, f"account {account}", SOCKETS.requests_a_minute))
    decision = acquire_locally(layers)
    for layer in decision.refused_by:
        rate_limit_hits.labels(layer).inc()
    return decision.allowed


def add_rate_limit_headers(response: HttpResponseBase, statuses: tuple[LayerStatus, ...]) -> None:
    """Add the limits and what is left of them: the fields of the IETF draft and the older ones.

    The limits of different phones are left out: other clients use them up too, so they would show
    the activity of others.
    """
    shown = []
    policies = []
    remaining = []
    for status in statuses:
        layer = status.layer
        if isinstance(layer, DistinctLimit):
            continue
        shown.append(status)
        policies.append(f'"{layer.name}";q={layer.limit};w={WINDOW}')
        remaining.append(f'"{layer.name}";r={status.remaining};t={status.reset}')
    if not shown:
        return
    response["RateLimit-Policy"] = ", ".join(policies)
    response["RateLimit"] = ", ".join(remaining)
    tightest = min(shown, key=lambda status: (status.allowed, status.remaining))
    response["RateLimit-Limit"] = str(tightest.layer.limit)
    response["RateLimit-Remaining"] = str(tightest.remaining)
    response["RateLimit-Reset"] = str(tightest.reset)
