"""The answer 429, as a page with a countdown and a way past it, and as JSON.

A form that was refused is not lost: the page carries what was typed, in hidden fields, and sends it
to the same step again once the challenge is solved.
"""

from dataclasses import dataclass
from typing import Self

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.http.request import UnreadablePostError
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from accounts.sessions import ensure_browser_id
from promo.steps import step_at
from snap.api_errors import error_body

# Marks a form that is sent again, once for each purpose whose challenge was solved for it.
SOLVED_FIELD = "solved"
# What the challenge's own forms send, and a step has no use for.
OWN_FIELDS = {"csrfmiddlewaretoken", "altcha", "for", "next", "proof", SOLVED_FIELD}
# Fields and characters of a step's form; what has more was not typed into one of ours.
MAX_FIELDS = 20
MAX_TYPED = 4_000


@dataclass(frozen=True)
class SentForm:
    """A step's form that was refused: where to, its fields, and what was solved for it so far."""

    path: str
    fields: tuple[tuple[str, str], ...]
    solved: tuple[str, ...]

    @classmethod
    def of(cls, request: HttpRequest, path: str) -> Self | None:
        """Return the form for the step at `path` that a request has sent, None if there is none.

        Without a valid CSRF token there is none: our page would send it again with a valid one.
        """
        if request.method != "POST" or step_at(path.partition("?")[0]) is None:
            return None
        try:
            if not _is_from_our_page(request):
                return None
            sent = [(name, value) for name, values in request.POST.lists() for value in values]
        except (RequestDataTooBig, UnreadablePostError):
            return None
        fields = tuple(pair for pair in sent if pair[0] not in OWN_FIELDS)
        if len(fields) > MAX_FIELDS or sum(len(name + value) for name, value in fields) > MAX_TYPED:
            return None
        return cls(path, fields, tuple(request.POST.getlist(SOLVED_FIELD)[:MAX_FIELDS]))


def render_too_many(request: HttpRequest, wait: int, purpose: str) -> HttpResponse:
    """Answer that this was too often, that it may be tried in `wait` seconds, or go on at once."""
    if request.path.startswith("/api/"):
        return _as_json(request, wait, purpose)
    back = _way_back(request)
    form = SentForm.of(request, back)
    return render_challenge(request, purpose=purpose, back=back, form=form, wait=wait, status=429)


def render_challenge(
    request: HttpRequest,
    *,
    purpose: str,
    back: str,
    form: SentForm | None,
    wait: int,
    status: int,
) -> HttpResponse:
    """Show what a browser can do to go on: solve the challenge, or wait.

    Without a purpose no challenge would help, and none is offered. A form that comes again although
    this challenge was solved for it can only wait.
    """
    # Nobody is looked up for this page: it has to be cheap.
    request.user = AnonymousUser()
    if purpose:
        ensure_browser_id(request)  # The challenge is solved for this browser's id.
    context = {
        "wait": wait,
        "back": back,
        "purpose": purpose,
        "form": form,
        "solved": (*form.solved, purpose) if form else (),
        "can_solve": form is None or purpose not in form.solved,
        "challenge_url": reverse("challenge:new") + "?" + urlencode({"for": purpose}),
    }
    response = render(request, "promo/too_many.html", context, status=status)
    response["Cache-Control"] = "no-store"
    if status == 429:
        response["Retry-After"] = str(wait)
    return response


def challenge_page(purpose: str) -> str:
    return reverse("challenge:page") + "?" + urlencode({"for": purpose})


def _as_json(request: HttpRequest, wait: int, purpose: str) -> HttpResponse:
    challenge_url = ""
    if purpose:
        challenge_url = challenge_page(purpose)
    body = error_body(429, retry_after=wait, challenge_url=challenge_url)
    headers = {"Retry-After": str(wait), "Cache-Control": "no-store"}
    return JsonResponse(body, status=429, headers=headers)


def _way_back(request: HttpRequest) -> str:
    """Return where to go on: the same page, or all events after a form that is no step."""
    is_page = request.method in {"GET", "HEAD"} or step_at(request.path_info)
    return request.get_full_path() if is_page else reverse("promo:events")


class TokenCheck(CsrfViewMiddleware):
    """Django's check of a form's token, which here only says yes or no."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponseForbidden:
        return HttpResponseForbidden()


def _is_from_our_page(request: HttpRequest) -> bool:
    """Say whether a form has its CSRF token: limits refuse before Django's middleware checks."""
    return TokenCheck(_no_answer).process_view(request, _no_answer, (), {}) is None


def _no_answer(request: HttpRequest) -> HttpResponse:
    """Stand for the view that a check of a token asks for, and never calls."""
    raise NotImplementedError
