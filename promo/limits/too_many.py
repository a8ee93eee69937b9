"""The 429 response: a page with a countdown and the challenge, or JSON.

The page keeps the fields of a refused form in hidden fields, and sends them to the same step again
after the challenge.
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
from promo.steps import step_from_path
from snap.api_errors import error_body

# In a form that is sent again: a purpose whose challenge was solved for it. May be repeated.
SOLVED_FIELD = "solved"
# Fields of the challenge's own forms. Steps do not read them.
CHALLENGE_FIELDS = {"csrfmiddlewaretoken", "altcha", "for", "next", "proof", SOLVED_FIELD}
# The most fields and characters of a form. The forms of steps have far fewer.
MAX_FIELDS = 20
MAX_CHARACTERS = 4_000


@dataclass(frozen=True)
class SentForm:
    """A refused form of a step: its path, its fields, and the purposes that were solved for it."""

    path: str
    fields: tuple[tuple[str, str], ...]
    solved: tuple[str, ...]

    @classmethod
    def from_request(cls, request: HttpRequest, path: str) -> Self | None:
        """Return the form that a request sends to the step at `path`, None when it sends none.

        Without a valid CSRF token there is no form: the page would send it again with a valid one.
        """
        if request.method != "POST" or step_from_path(path.partition("?")[0]) is None:
            return None
        try:
            if not _has_valid_token(request):
                return None
            fields = _step_fields(request)
        except (RequestDataTooBig, UnreadablePostError):
            return None
        characters = sum(len(name) + len(value) for name, value in fields)
        if len(fields) > MAX_FIELDS or characters > MAX_CHARACTERS:
            return None
        return cls(path, tuple(fields), tuple(request.POST.getlist(SOLVED_FIELD)[:MAX_FIELDS]))


def _step_fields(request: HttpRequest) -> list[tuple[str, str]]:
    fields = []
    for name, values in request.POST.lists():
        if name in CHALLENGE_FIELDS:
            continue
        for value in values:
            fields.append((name, value))
    return fields


def render_too_many(request: HttpRequest, wait: int, purpose: str) -> HttpResponse:
    """Return the 429 response: retry in `wait` seconds, or solve the challenge for `purpose`."""
    if request.path.startswith("/api/"):
        return _render_json(request, wait, purpose)
    next_path = _next_path(request)
    form = SentForm.from_request(request, next_path)
    return render_challenge(
        request, purpose=purpose, next_path=next_path, form=form, wait=wait, status=429
    )


def render_challenge(
    request: HttpRequest,
    *,
    purpose: str,
    next_path: str,
    form: SentForm | None,
    wait: int,
    status: int,
) -> HttpResponse:
    """Show the challenge for a purpose, and the seconds to wait without it.

    Without a purpose no challenge is offered, nor for a form for which it was solved before.
    """
    # The page has to be cheap: without this, it would look the account up.
    request.user = AnonymousUser()
    if purpose:
        # Give the browser its id. The challenge is bound to it.
        ensure_browser_id(request)
    solved: tuple[str, ...] = ()
    can_solve = bool(purpose)
    if form is not None and purpose:
        solved = (*form.solved, purpose)
        can_solve = purpose not in form.solved
    context = {
        "wait": wait,
        "next_path": next_path,
        "purpose": purpose,
        "form": form,
        "solved": solved,
        "can_solve": can_solve,
        "challenge_url": reverse("challenge:new") + "?" + urlencode({"for": purpose}),
    }
    response = render(request, "promo/too_many.html", context, status=status)
    response["Cache-Control"] = "no-store"
    if status == 429:
        response["Retry-After"] = str(wait)
    return response


def challenge_page_url(purpose: str) -> str:
    return reverse("challenge:page") + "?" + urlencode({"for": purpose})


def _render_json(request: HttpRequest, wait: int, purpose: str) -> HttpResponse:
    challenge_url = ""
    if purpose:
        challenge_url = challenge_page_url(purpose)
    body = error_body(429, retry_after=wait, challenge_url=challenge_url)
    headers = {"Retry-After": str(wait), "Cache-Control": "no-store"}
    return JsonResponse(body, status=429, headers=headers)


def _next_path(request: HttpRequest) -> str:
    """Return the path to continue at: the same page or step, or all events for any other POST."""
    is_page = request.method in {"GET", "HEAD"}
    if is_page or step_from_path(request.path_info):
        return request.get_full_path()
    return reverse("promo:events")


class TokenCheck(CsrfViewMiddleware):
    """Django's check of a CSRF token, with an empty response instead of the error page."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponseForbidden:
        return HttpResponseForbidden()


def _has_valid_token(request: HttpRequest) -> bool:
    """Check the CSRF token of a form. Limits are checked before Django's middleware checks it."""
    return TokenCheck(_unused_view).process_view(request, _unused_view, (), {}) is None


def _unused_view(request: HttpRequest) -> HttpResponse:
    """The view argument of the CSRF check, which never calls it."""
    raise NotImplementedError
