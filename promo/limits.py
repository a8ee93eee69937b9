"""Which limits each page and call has, and the answer to whoever is past one (spec section 10).

A request asks once: for its address and, where a phone is known, that phone from there. Only who is
refused is looked at closer: an address of a venue has the venue's rate, and a browser that solved a
challenge has a budget of its own. What a route forgives is counted afterwards, and only failures,
by django-ratelimit; when that says enough, a door is shut that the one question asks for too.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError
from django_ratelimit.core import get_usage

from accounts.phones import PhoneError, parse_phone
from guests.admission import venues
from snap.addresses import client_address
from snap.limits import WINDOW, Layer, Standing, Verdict, hash_of, hits, shut_door, take

from .challenge import pass_of
from .steps import step_phone
from .too_many import too_many

log = logging.getLogger(__name__)

BLOCK_DIGITS = 3

View = Callable[..., HttpResponseBase]
Handler = Callable[[HttpRequest], HttpResponseBase]


def phone_sent(request: HttpRequest) -> str:
    """Return the phone in a form or a JSON body in its one form, "" when there is none."""
    country: str | None = None
    try:
        if request.content_type == "application/json":
            body = json.loads(request.body)
            sent = body.get("phone") if isinstance(body, dict) else None
        elif request.path.startswith("/api/"):
            return ""  # A call takes nothing but JSON, and refuses the rest itself.
        else:
            sent, country = request.POST.get("phone"), request.POST.get("country") or None
        return parse_phone(sent, country) if isinstance(sent, str) else ""
    except (PhoneError, ValueError, RecursionError, RequestDataTooBig, UnreadablePostError):
        return ""


def account_in_session(request: HttpRequest) -> str:
    return str(request.session.get(SESSION_KEY) or "")


@dataclass(frozen=True)
class Policy:
    """What counts on a route. `route` names its allowance of failures in LIMIT_ROUTES."""

    route: str
    # The phone that the request is about, where it is known: limits are then for it, too.
    phone: Callable[[HttpRequest], str] | None = None
    # Whose budget it is, where that is not the address': a thousand phones behind one poll tickets.
    owner: Callable[[HttpRequest], str] | None = None
    # Statuses that say how a list stands, and are nobody's failure.
    forgives: frozenset[int] = frozenset({409})


PAGES = Policy("promo_pages")
TICKET = Policy("promo_pages", owner=account_in_session)
PHONE_CHECK = Policy("phone_check", phone=phone_sent)
LOGIN = Policy("emails", phone=phone_sent, forgives=frozenset())
CODE = Policy("emails", phone=step_phone)
REGISTER = Policy("emails", phone=step_phone)
CREATE = Policy("guest_create")

# By the name of a page, or the path of a call as it is written in the URL configuration.
READS = {
    "promo:events": PAGES,
    "promo:event": PAGES,
    "promo:calendar": PAGES,
    "promo:phone": PAGES,
    "promo:code": PAGES,
    "promo:register": PAGES,
    "promo:request": PAGES,
    "promo:ticket": TICKET,
    "guests:pass": PAGES,
    "api/events": PAGES,
    "api/schema/": PAGES,
    "api/docs/": PAGES,
    "api/client-auth/guests/requests/<uuid:ticket_id>": TICKET,
}
WRITES = {
    "promo:phone": PHONE_CHECK,
    "promo:code": CODE,
    "promo:register": REGISTER,
    "promo:request": CREATE,
    "sign_out": PAGES,
    "set_language": PAGES,
    "api/client-auth-v2/check-phone": PHONE_CHECK,
    "api/client-auth/login": LOGIN,
    "api/client-auth/register": LOGIN,
    "api/client-auth/guests/create": CREATE,
    "api/client-auth/guests/create-async": CREATE,
}


def policy_of(request: HttpRequest) -> Policy | None:
    match = request.resolver_match
    if match is None:
        return None
    # Whoever uses a method that a route does not know is limited as if it did.
    is_read = request.method in {"GET", "HEAD", "OPTIONS"}
    for table in (READS, WRITES) if is_read else (WRITES, READS):
        if found := table.get(match.view_name) or table.get(match.route):
            return found
    return None


@dataclass(frozen=True)
class Budget:
    """Whose requests are counted together, and how many of them may pass in a minute."""

    ip: str
    limit: int
    phone: str = ""
    # The thousand numbers that the phone is one of: who asks for one after the other harvests.
    block: str = ""
    # Failures are forgiven as many times as often as an address may ask.
    times: int = 1

    def layers(self) -> list[Layer]:
        layers = [Layer("ip", self.ip, self.limit)]
        if self.phone:
            layers.append(Layer("phone", self.phone, settings.LIMIT_PHONE))
        if self.block:
            layers.append(Layer("block", self.block, settings.LIMIT_BLOCK))
        return layers

    @property
    def failing(self) -> str:
        """Whose failures are counted together."""
        return self.phone or self.ip


@dataclass
class Limiting:
    """What was decided about a request, kept for its answer."""

    policy: Policy
    budget: Budget
    verdict: Verdict


class LimitsMiddleware:
    """Lets a request pass or answers 429, counts failures, and says how the limits stand."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        limiting: Limiting | None = getattr(request, "limiting", None)
        if limiting is not None:
            if limiting.verdict.allowed:
                count_failure(request, limiting, answer.status_code)
            say_standing(answer, limiting.verdict.standings)
        return answer

    def process_view(
        self, request: HttpRequest, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        policy = policy_of(request)
        if policy is None:
            return None
        limiting = decide(request, policy)
        request.limiting = limiting  # type: ignore[attr-defined]
        if limiting.verdict.allowed:
            return None
        refused = limiting.verdict.refused_by
        for layer in refused:
            hits.labels(layer).inc()
        log.info("rate_limited", extra={"layers": ",".join(refused), "route": policy.route})
        return too_many(request, limiting.verdict.retry_after, purpose_of(limiting))


def decide(request: HttpRequest, policy: Policy) -> Limiting:
    """Ask for the usual budget, and only when that is used up for those that go beyond it."""
    limiting = ask(policy, usual_budget(request, policy))
    for beyond in (venue_budget, own_budget):
        if limiting.verdict.allowed:
            break
        if budget := beyond(request, limiting):
            limiting = ask(policy, budget)
    return limiting


def ask(policy: Policy, budget: Budget) -> Limiting:
    doors = [f"{policy.route} {budget.failing}"]
    return Limiting(policy, budget, take(budget.layers(), doors))


def usual_budget(request: HttpRequest, policy: Policy) -> Budget:
    address = client_address(request)
    owner = policy.owner(request) if policy.owner else ""
    phone = policy.phone(request) if policy.phone else ""
    return Budget(
        ip=f"account {owner}" if owner else address,
        limit=settings.LIMIT_IP,
        phone=f"{address} {phone}" if phone else "",
        block=block_of(phone),
    )


def block_of(phone: str) -> str:
    return phone[:-BLOCK_DIGITS] if phone else ""


def venue_budget(request: HttpRequest, limiting: Limiting) -> Budget | None:
    """Return what a network has that some event names as its venue's."""
    address = client_address(request)
    if limiting.budget.ip != address or not venues.have(address):
        return None
    return Budget(
        ip=f"venue {address}",
        limit=settings.LIMIT_VENUE,
        phone=limiting.budget.phone,
        block=limiting.budget.block,
        times=max(1, settings.LIMIT_VENUE // settings.LIMIT_IP),
    )


def own_budget(request: HttpRequest, limiting: Limiting) -> Budget | None:
    """Return what a browser has that solved the challenge it was asked for."""
    found = pass_of(request, purpose_of(limiting))
    if found is None:
        return None
    browser, limit = found
    phone = limiting.policy.phone(request) if limiting.policy.phone else ""
    return Budget(f"browser {browser}", limit, f"browser {browser} {phone}" if phone else "")


def purpose_of(limiting: Limiting) -> str:
    """Return what a challenge is asked for: to go on with this phone, or from this address."""
    is_phone = bool(limiting.budget.phone) and "ip" not in limiting.verdict.refused_by
    return "phone" if is_phone else "address"


def count_failure(request: HttpRequest, limiting: Limiting, status: int) -> None:
    """Count an answer that moved nobody on; past what the route forgives, shut its door."""
    policy, budget = limiting.policy, limiting.budget
    is_failure = 400 <= status < 500 and status not in policy.forgives
    if not is_failure or status == 429 or limiting.verdict.is_local:
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
        shut_door(f"{policy.route} {budget.failing}", usage["time_left"])


def say_standing(answer: HttpResponseBase, standings: tuple[Standing, ...]) -> None:
    """Name the limits and what is left, in the fields of the present draft and the older ones.

    How a block stands is not told: it says what others have asked for.
    """
    standings = tuple(each for each in standings if each.layer.name != "block")
    if not standings:
        return
    answer["RateLimit-Policy"] = ", ".join(
        f'"{each.layer.name}";q={each.layer.limit};w={WINDOW}' for each in standings
    )
    answer["RateLimit"] = ", ".join(
        f'"{each.layer.name}";r={each.remaining};t={each.reset}' for each in standings
    )
    tightest = min(standings, key=lambda each: (each.allowed, each.remaining))
    answer["RateLimit-Limit"] = str(tightest.layer.limit)
    answer["RateLimit-Remaining"] = str(tightest.remaining)
    answer["RateLimit-Reset"] = str(tightest.reset)
