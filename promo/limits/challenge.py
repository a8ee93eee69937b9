"""The challenge, solved by ALTCHA's widget or, without JavaScript, by waiting.

A browser that has solved it gets an exemption in its session: for some minutes, limits of its own.
docs/reference.md, Limits, says which limits the exemption lifts.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from math import ceil
from time import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.exceptions import AccountError
from accounts.models import LoginCode
from accounts.sessions import BROWSER_KEY, ensure_browser_id
from promo.limits.too_many import SOLVED_FIELD, SentForm, render_challenge
from promo.rendering import is_htmx
from promo.steps import FORM_STEPS, step_from_path
from snap.addresses import client_address
from snap.control.switches import CHALLENGE, is_on
from snap.limits.challenges import (
    has_waited,
    is_solved,
    new_challenge,
    seconds_to_wait,
    start_waiting,
)
from snap.limits.counters import acquire, rate_limit_hits, use_once
from snap.limits.layers import WINDOW, Decision, Layer
from snap.limits.policy import unlimited

# Session key of the browser's exemptions: by purpose, the Unix time of the end and requests a
# minute. The stored key keeps its first name, so that sessions stay valid.
EXEMPTIONS_KEY = "passes"
# The purposes of exemptions: the limits of an address, the limits of a phone, or the budget of
# codes of a phone, for one code.
PURPOSES = {"address", "phone", "code"}
CHECKED_BY_VIEW = "The views of the challenge check limits of their own."


def find_exemption(request: HttpRequest, purpose: str) -> tuple[str, int] | None:
    """Return the browser's id and the requests a minute of its valid exemption, or None.

    Exemptions do not count while staff have turned the challenge off.
    """
    if not is_on(CHALLENGE):
        return None
    until, limit = request.session.get(EXEMPTIONS_KEY, {}).get(purpose, (0, 0))
    browser = request.session.get(BROWSER_KEY)
    if not browser or until <= time():
        return None
    return browser, limit


def send_or_spend_exemption(request: HttpRequest, send: Callable[..., LoginCode]) -> LoginCode:
    """Send a code. When a budget that a challenge lifts refuses it, spend the browser's exemption.

    An exemption is good for one code. Raises AccountError as `send` does.
    """
    try:
        return send()
    except AccountError as error:
        if not error.may_solve or not _spend_exemption(request):
            raise
    return send(solved=True)


def _spend_exemption(request: HttpRequest) -> bool:
    """Use the browser's exemption for a code, once. Return False without one, or without Redis."""
    exemption = find_exemption(request, "code")
    if exemption is None:
        return False
    browser, _ = exemption
    until, _ = request.session[EXEMPTIONS_KEY]["code"]
    return use_once(f"code pass {browser} {until}", settings.CHALLENGE_PASS_AGE + 1)


def while_offered(view: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Have a view tell people to wait while staff have turned the challenge off."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if is_on(CHALLENGE):
            return view(request)
        return render_challenge(
            request,
            purpose="",
            next_path=_next_path(request),
            form=_refused_form(request),
            wait=WINDOW,
            status=429,
        )

    return checked


@unlimited(CHECKED_BY_VIEW)
@never_cache
@require_http_methods(["GET", "POST"])
@while_offered
def page(request: HttpRequest) -> HttpResponse:
    """Show the challenge, or check its solution and grant the exemption."""
    decision = _check_challenge_limit(request)
    if not decision.allowed:
        return _render_refusal(request, decision)
    if request.method == "GET":
        return _render_challenge_again(request, status=200)
    solution = request.POST.get("altcha", "")
    if not is_solved(solution, browser=ensure_browser_id(request), purpose=_purpose(request)):
        return _render_challenge_again(request, status=422)
    return _grant_exemption(request, settings.LIMIT_SOLVED)


@unlimited(CHECKED_BY_VIEW)
@never_cache
@require_safe
@while_offered
def new(request: HttpRequest) -> HttpResponse:
    """Return a new challenge for this browser, as JSON for the widget."""
    decision = _check_challenge_limit(request)
    if not decision.allowed:
        return _render_refusal(request, decision)
    return JsonResponse(
        new_challenge(browser=ensure_browser_id(request), purpose=_purpose(request))
    )


@unlimited(CHECKED_BY_VIEW)
@never_cache
@require_POST
@while_offered
def wait(request: HttpRequest) -> HttpResponse:
    """Start the wait that replaces the challenge without JavaScript."""
    decision = _check_wait_limit(request)
    if not decision.allowed:
        return _render_refusal(request, decision)
    proof = start_waiting(browser=ensure_browser_id(request), purpose=_purpose(request))
    return _render_wait(request, proof, settings.CHALLENGE_WAIT)


@unlimited(CHECKED_BY_VIEW)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@while_offered
def waited(request: HttpRequest) -> HttpResponse:
    """Grant the exemption to a browser that has waited long enough.

    A form is sent here by its button. When it comes too early, the page for the remaining wait is
    shown.
    """
    decision = _check_challenge_limit(request)
    if not decision.allowed:
        return _render_refusal(request, decision)
    purpose, browser = _purpose(request), ensure_browser_id(request)
    proof = _parameters(request).get("proof", "")
    left = seconds_to_wait(proof, browser=browser, purpose=purpose)
    if left and request.method == "POST":
        return _render_wait(request, proof, left)
    if not has_waited(proof, browser=browser, purpose=purpose):
        return _render_challenge_again(request, status=422)
    return _grant_exemption(request, settings.LIMIT_WAITED)


def _render_wait(request: HttpRequest, proof: str, seconds: int) -> HttpResponse:
    """Show the page of a wait. It reloads itself, or has a button that sends the refused form."""
    purpose, next_path, form = _purpose(request), _next_path(request), _refused_form(request)
    query = urlencode({"proof": proof, "for": purpose, "next": next_path})
    context = {
        "seconds": seconds,
        "refresh": seconds + 1,
        "url": f"{reverse('challenge:waited')}?{query}",
        "proof": proof,
        "purpose": purpose,
        "next_path": next_path,
        "form": form,
    }
    if form is not None:
        context["solved"] = form.solved
    return render(request, "promo/wait.html", context)


def _grant_exemption(request: HttpRequest, limit: int) -> HttpResponse:
    """Store an exemption of `limit` requests a minute, and continue at the refused page.

    With a refused form, status 307 makes browsers and HTMX send the same body to the step.
    """
    purpose, next_path = _purpose(request), _next_path(request)
    until = ceil(time()) + settings.CHALLENGE_PASS_AGE
    exemptions = request.session.get(EXEMPTIONS_KEY, {})
    request.session[EXEMPTIONS_KEY] = {**exemptions, purpose: [until, limit]}
    if _refused_form(request):
        return HttpResponseRedirect(next_path, status=307, preserve_request=True)
    is_form_step = step_from_path(next_path.partition("?")[0]) in FORM_STEPS
    if is_htmx(request) and not is_form_step:
        return HttpResponse(headers={"HX-Redirect": next_path})
    return HttpResponseRedirect(next_path, status=303)


def _render_challenge_again(request: HttpRequest, *, status: int, wait: int = 0) -> HttpResponse:
    """Show the challenge for the same purpose, with the same refused form."""
    form, purpose = _refused_form(request), _purpose(request)
    if form is not None:
        # The page names its purpose as solved, for the case that it is. Here it was not.
        form = replace(form, solved=tuple(each for each in form.solved if each != purpose))
    return render_challenge(
        request, purpose=purpose, next_path=_next_path(request), form=form, wait=wait, status=status
    )


def _refused_form(request: HttpRequest) -> SentForm | None:
    """Return the refused form of a step, whose fields the challenge's own form carries."""
    if SOLVED_FIELD not in request.POST:
        return None
    return SentForm.from_request(request, _next_path(request))


def _check_challenge_limit(request: HttpRequest) -> Decision:
    """Count the request for its browser, or for its address when the browser has no id.

    A page that offers a challenge gives its browser an id, so visitors at one address do not use up
    each other's limit. A client can get many ids, but each costs as much as a refused page.
    """
    if browser := request.session.get(BROWSER_KEY):
        layer = Layer("challenge", f"browser {browser}", settings.LIMIT_CHALLENGES_BROWSER)
    else:
        layer = Layer("challenge", client_address(request), settings.LIMIT_CHALLENGES)
    return acquire([layer])


def _check_wait_limit(request: HttpRequest) -> Decision:
    """Count the request for its address and its browser: a script can wait and get ids for free."""
    layers = [Layer("waiting", client_address(request), settings.LIMIT_WAITING)]
    if browser := request.session.get(BROWSER_KEY):
        key = f"browser {browser}"
        layers.append(Layer("waiting_browser", key, settings.LIMIT_WAITING_BROWSER))
    return acquire(layers)


def _render_refusal(request: HttpRequest, decision: Decision) -> HttpResponse:
    rate_limit_hits.labels("challenge").inc()
    return _render_challenge_again(request, status=429, wait=decision.retry_after)


def _parameters(request: HttpRequest) -> QueryDict:
    return request.POST or request.GET


def _purpose(request: HttpRequest) -> str:
    purpose = _parameters(request).get("for", "")
    if purpose not in PURPOSES:
        return "address"
    return purpose


def _next_path(request: HttpRequest) -> str:
    """Return the path in `next`, or of all events when `next` is not a path of this site."""
    path = _parameters(request).get("next", "")
    is_safe = path.startswith("/") and url_has_allowed_host_and_scheme(
        path, {request.get_host()}, require_https=request.is_secure()
    )
    if not is_safe:
        return reverse("promo:events")
    return path
