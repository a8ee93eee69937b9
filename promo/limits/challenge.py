"""The challenge, solved by ALTCHA's widget or, without JavaScript, by waiting.

docs/reference.md, Limits, says what it lifts.
"""

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from time import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.exceptions import AccountError
from accounts.models import LoginCode
from accounts.sessions import BROWSER_KEY, ensure_browser_id
from promo.limits.responses import SOLVED_FIELD, SentForm, render_challenge
from promo.rendering import is_htmx
from promo.steps import FORMS, step_at
from snap.addresses import client_address
from snap.limits.challenges import (
    has_waited,
    is_solved,
    new_challenge,
    seconds_to_wait,
    start_waiting,
)
from snap.limits.counters import acquire, hits, use_once
from snap.limits.layers import Decision, Layer
from snap.limits.policy import unlimited

PASSES_KEY = "passes"
# What a challenge is solved for: requests from an address, with a phone, or one code for a phone.
PURPOSES = {"address", "phone", "code"}
COUNTED_HERE = "The way past a limit has layers of its own, which its views ask for themselves."


def pass_of(request: HttpRequest, purpose: str) -> tuple[str, int] | None:
    """Return this browser's id and its requests a minute, if it has earned a budget of its own."""
    until, limit = request.session.get(PASSES_KEY, {}).get(purpose, (0, 0))
    browser = request.session.get(BROWSER_KEY)
    return (browser, limit) if browser and until > time() else None


def send_or_spend_pass(request: HttpRequest, send: Callable[..., LoginCode]) -> LoginCode:
    """Send a code; past a budget that a challenge lifts, spend this browser's pass for it.

    One solved challenge is good for one code. Raises AccountError as `send` does.
    """
    try:
        return send()
    except AccountError as error:
        if not error.may_solve or not _spend_pass(request):
            raise
    return send(solved=True)


def _spend_pass(request: HttpRequest) -> bool:
    """Use this browser's pass for a code, once. False without one, and without Redis."""
    found = pass_of(request, "code")
    if found is None:
        return False
    until, _ = request.session[PASSES_KEY]["code"]
    return use_once(f"code pass {found[0]} {until}", settings.CHALLENGE_PASS_AGE + 1)


@unlimited(COUNTED_HERE)
@never_cache
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the challenge, or take its solution and go on with what it was asked for."""
    if not (decision := _ask(request)).allowed:
        return _plainly(request, decision)
    if request.method == "GET":
        return _again(request, status=200)
    purpose, solution = _purpose(request), request.POST.get("altcha", "")
    if not is_solved(solution, browser=ensure_browser_id(request), purpose=purpose):
        return _again(request, status=422)
    return _let_pass(request, settings.LIMIT_SOLVED)


@unlimited(COUNTED_HERE)
@never_cache
@require_safe
def new(request: HttpRequest) -> HttpResponse:
    """Give the widget a challenge for this browser."""
    if not (decision := _ask(request)).allowed:
        return _plainly(request, decision)
    return JsonResponse(
        new_challenge(browser=ensure_browser_id(request), purpose=_purpose(request))
    )


@unlimited(COUNTED_HERE)
@never_cache
@require_POST
def wait(request: HttpRequest) -> HttpResponse:
    """Begin the wait that takes a challenge's place without JavaScript."""
    if not (decision := _ask_to_wait(request)).allowed:
        return _plainly(request, decision)
    proof = start_waiting(browser=ensure_browser_id(request), purpose=_purpose(request))
    return _show_wait(request, proof, settings.CHALLENGE_WAIT)


@unlimited(COUNTED_HERE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def waited(request: HttpRequest) -> HttpResponse:
    """Let a browser go on that has waited, with the form that it waited with.

    A form comes here when somebody presses its button: too early, and it waits for the rest.
    """
    if not (decision := _ask(request)).allowed:
        return _plainly(request, decision)
    purpose, browser = _purpose(request), ensure_browser_id(request)
    proof = (request.POST or request.GET).get("proof", "")
    left = seconds_to_wait(proof, browser=browser, purpose=purpose)
    if left and request.method == "POST":
        return _show_wait(request, proof, left)
    if not has_waited(proof, browser=browser, purpose=purpose):
        return _again(request, status=422)
    return _let_pass(request, settings.LIMIT_WAITED)


def _show_wait(request: HttpRequest, proof: str, seconds: int) -> HttpResponse:
    """Show a page that goes on by itself; with a form, one button that sends it, after the wait."""
    purpose, back, form = _purpose(request), _back(request), _sent_form(request)
    query = urlencode({"proof": proof, "for": purpose, "next": back})
    context = {
        "seconds": seconds,
        "refresh": seconds + 1,
        "url": f"{reverse('challenge:waited')}?{query}",
        "proof": proof,
        "purpose": purpose,
        "back": back,
        "form": form,
        "solved": form.solved if form else (),
    }
    return render(request, "promo/wait.html", context)


def _let_pass(request: HttpRequest, limit: int) -> HttpResponse:
    """Give this browser its own budget, and send the form again that was refused before.

    307 has browsers and HTMX repeat the same body at the step's address, with this page's token.
    """
    purpose, back = _purpose(request), _back(request)
    until = ceil(time()) + settings.CHALLENGE_PASS_AGE
    passes = request.session.get(PASSES_KEY, {})
    request.session[PASSES_KEY] = {**passes, purpose: [until, limit]}
    if _sent_form(request):
        return HttpResponseRedirect(back, status=307, preserve_request=True)
    if is_htmx(request) and step_at(back.partition("?")[0]) not in FORMS:
        return HttpResponse(headers={"HX-Redirect": back})
    return HttpResponseRedirect(back, status=303)


def _again(request: HttpRequest, *, status: int, wait: int = 0) -> HttpResponse:
    """Show the challenge, with the form that it was shown with."""
    form, purpose = _sent_form(request), _purpose(request)
    if form:
        # It is not solved yet.
        form = replace(form, solved=tuple(each for each in form.solved if each != purpose))
    return render_challenge(
        request, purpose=purpose, back=_back(request), form=form, wait=wait, status=status
    )


def _sent_form(request: HttpRequest) -> SentForm | None:
    """Return the step's form that the challenge's form carries."""
    return SentForm.of(request, _back(request)) if SOLVED_FIELD in request.POST else None


def _ask(request: HttpRequest) -> Decision:
    """Count for the browser; those without an id count for the address.

    A page that asks for a challenge gives its browser an id, so nobody uses up a neighbour's. One
    client may get many ids, but each costs as much as a refused page does.
    """
    if browser := request.session.get(BROWSER_KEY):
        layer = Layer("challenge", f"browser {browser}", settings.LIMIT_CHALLENGES_BROWSER)
    else:
        layer = Layer("challenge", client_address(request), settings.LIMIT_CHALLENGES)
    return acquire([layer])


def _ask_to_wait(request: HttpRequest) -> Decision:
    """Count for the browser and the address: waiting costs a program nothing, and ids are free."""
    layers = [Layer("waiting", client_address(request), settings.LIMIT_WAITING)]
    if browser := request.session.get(BROWSER_KEY):
        of = f"browser {browser}"
        layers.append(Layer("waiting_browser", of, settings.LIMIT_WAITING_BROWSER))
    return acquire(layers)


def _plainly(request: HttpRequest, decision: Decision) -> HttpResponse:
    hits.labels("challenge").inc()
    return _again(request, status=429, wait=decision.retry_after)


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
