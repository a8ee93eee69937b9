"""The challenge: solved by ALTCHA's widget or, without JavaScript, by waiting (spec section 10)."""

from math import ceil
from time import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.sessions import BROWSER_KEY, browser_of
from snap.addresses import client_address
from snap.challenges import has_waited, is_solved, new_challenge, start_waiting
from snap.limits import Decision, Layer, acquire, hits
from snap.policies import unlimited

from .answers import is_htmx
from .too_many import show_challenge, too_many

PASSES_KEY = "passes"
PURPOSES = {"address", "phone"}
COUNTED_HERE = "The way past a limit has layers of its own, which its views ask for themselves."


def pass_of(request: HttpRequest, purpose: str) -> tuple[str, int] | None:
    """Return this browser's id and its requests a minute, if it has earned a budget of its own."""
    until, limit = request.session.get(PASSES_KEY, {}).get(purpose, (0, 0))
    browser = request.session.get(BROWSER_KEY)
    return (browser, limit) if browser and until > time() else None


@unlimited(COUNTED_HERE)
@never_cache
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the challenge, or take its solution and go back to what it was asked for."""
    if (decision := _ask("challenge", settings.LIMIT_CHALLENGES, request)) and not decision.allowed:
        return _plainly(request, decision)
    purpose, back = _purpose(request), _back(request)
    if request.method == "GET":
        return show_challenge(request, purpose=purpose, back=back, wait=0, status=200)
    solution = request.POST.get("altcha", "")
    if not is_solved(solution, browser=browser_of(request), purpose=purpose):
        return show_challenge(request, purpose=purpose, back=back, wait=0, status=422)
    return _let_pass(request, purpose, back, settings.LIMIT_SOLVED)


@unlimited(COUNTED_HERE)
@never_cache
@require_safe
def new(request: HttpRequest) -> HttpResponse:
    """Give the widget a challenge for this browser."""
    if (decision := _ask("challenge", settings.LIMIT_CHALLENGES, request)) and not decision.allowed:
        return _plainly(request, decision)
    return JsonResponse(new_challenge(browser=browser_of(request), purpose=_purpose(request)))


@unlimited(COUNTED_HERE)
@never_cache
@require_POST
def wait(request: HttpRequest) -> HttpResponse:
    """Show the page that waits and then goes on by itself: the way without JavaScript."""
    decision = _ask("waiting", settings.LIMIT_WAITING, request)
    if not decision.allowed:
        return _plainly(request, decision)
    purpose = _purpose(request)
    proof = start_waiting(browser=browser_of(request), purpose=purpose)
    query = urlencode({"proof": proof, "for": purpose, "next": _back(request)})
    seconds = settings.CHALLENGE_WAIT
    context = {"seconds": seconds, "refresh": seconds + 1, "url": f"{_waited_url()}?{query}"}
    return render(request, "promo/wait.html", context)


@unlimited(COUNTED_HERE)
@never_cache
@require_safe
def waited(request: HttpRequest) -> HttpResponse:
    """Let whoever has waited go on."""
    if not (decision := _ask("challenge", settings.LIMIT_CHALLENGES, request)).allowed:
        return _plainly(request, decision)
    purpose, back = _purpose(request), _back(request)
    proof = request.GET.get("proof", "")
    if not has_waited(proof, browser=browser_of(request), purpose=purpose):
        return show_challenge(request, purpose=purpose, back=back, wait=0, status=422)
    return _let_pass(request, purpose, back, settings.LIMIT_WAITED)


def _let_pass(request: HttpRequest, purpose: str, back: str, limit: int) -> HttpResponse:
    until = ceil(time()) + settings.CHALLENGE_PASS_AGE
    passes = request.session.get(PASSES_KEY, {})
    request.session[PASSES_KEY] = {**passes, purpose: [until, limit]}
    is_step = back.rstrip("/").rpartition("/")[2] in {"phone", "code", "register"}
    if is_htmx(request) and not is_step:
        return HttpResponse(headers={"HX-Redirect": back})
    return HttpResponseRedirect(back, status=303)


def _ask(layer: str, limit: int, request: HttpRequest) -> Decision:
    return acquire([Layer(layer, client_address(request), limit)])


def _plainly(request: HttpRequest, decision: Decision) -> HttpResponse:
    hits.labels("challenge").inc()
    return too_many(request, decision.retry_after, _purpose(request))


def _purpose(request: HttpRequest) -> str:
    given = (request.POST or request.GET).get("for", "")
    return given if given in PURPOSES else "address"


def _back(request: HttpRequest) -> str:
    """Return where to go on: a page of ours and no other."""
    given = (request.POST or request.GET).get("next", "")
    ours = given.startswith("/") and url_has_allowed_host_and_scheme(
        given, {request.get_host()}, require_https=request.is_secure()
    )
    return given if ours else reverse("promo:events")


def _waited_url() -> str:
    return reverse("challenge:waited")
