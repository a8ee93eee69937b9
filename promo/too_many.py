"""The answer 429, as a page with a countdown and a way past it, and as JSON."""

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from accounts.sessions import browser_of
from snap.errors import error_body


def too_many(request: HttpRequest, wait: int, purpose: str) -> HttpResponse:
    """Answer that this was too often, that it may be tried in `wait` seconds, or go on at once."""
    if request.path.startswith("/api/"):
        return _as_json(request, wait, purpose)
    return show_challenge(request, purpose=purpose, back=_way_back(request), wait=wait, status=429)


def show_challenge(
    request: HttpRequest, *, purpose: str, back: str, wait: int, status: int
) -> HttpResponse:
    """Show what a browser can do to go on: solve the challenge, or wait.

    Without a purpose no challenge would help, and none is offered.
    """
    # Nobody is looked up for this page: it has to be cheap.
    request.user = AnonymousUser()
    if purpose:
        browser_of(request)  # The challenge is solved for this browser's id.
    context = {
        "wait": wait,
        "back": back,
        "purpose": purpose,
        "challenge_url": reverse("challenge:new") + "?" + urlencode({"for": purpose}),
    }
    answer = render(request, "promo/too_many.html", context, status=status)
    answer["Cache-Control"] = "no-store"
    if status == 429:
        answer["Retry-After"] = str(wait)
    return answer


def _as_json(request: HttpRequest, wait: int, purpose: str) -> HttpResponse:
    body = error_body(429, retry_after=wait)
    if purpose:
        body["challengeUrl"] = reverse("challenge:page") + "?" + urlencode({"for": purpose})
    headers = {"Retry-After": str(wait), "Cache-Control": "no-store"}
    return JsonResponse(body, status=429, headers=headers)


def _way_back(request: HttpRequest) -> str:
    """Return where to go on: the same page, or the event after the one tap that has no page."""
    match = request.resolver_match
    if match and match.view_name == "promo:request":
        args = [match.kwargs["event"], match.kwargs["promoter"]]
        return reverse("promo:event", args=args if args[1] else args[:1])
    if request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    return request.path if match and match.namespace == "promo" else reverse("promo:events")
