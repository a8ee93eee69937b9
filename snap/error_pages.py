"""Error pages: a sentence for people, the right status, and nothing that can fail in turn."""

from collections.abc import Mapping
from math import ceil

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt

from snap.limits.policy import PAGES, limited
from snap.pages import page_path

RETRY_AFTER = 5  # seconds

# The code and the sentence of an error that has no words of its own, by status.
WORDS: dict[int, tuple[str, Promise]] = {
    400: ("invalid", _("This request is not one that we understand.")),
    401: ("not_signed_in", _("Sign in first.")),
    403: ("not_allowed", _("This is not allowed.")),
    404: ("not_found", _("There is no such thing.")),
    405: ("method_not_allowed", _("This is not allowed.")),
    406: ("not_acceptable", _("This request is not one that we understand.")),
    413: ("too_large", _("This is too much at once.")),
    415: ("unsupported_media_type", _("This request is not one that we understand.")),
    429: ("too_many", _("Too many attempts. Wait a moment and try again.")),
    500: ("error", _("Something went wrong on our side.")),
    503: ("unavailable", _("We cannot take requests just now. Try again in a moment.")),
}
CSRF = _("The session's token is missing or too old.")


def error_body(
    status: int,
    *,
    code: str = "",
    text: object = "",
    fields: Mapping[str, object] | None = None,
    retry_after: int = 0,
) -> dict[str, object]:
    """Return the body of an API error (docs/reference.md, Errors). Only this function makes one."""
    usual_code, usual_text = WORDS.get(status, WORDS[500])
    body: dict[str, object] = {
        "success": False,
        "error": str(text or usual_text),
        "code": code or usual_code,
    }
    if fields is not None or status == 400:
        body["fields"] = fields or {}
    if retry_after:
        body["retryAfter"] = retry_after
    return body


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form is too old, or cookies are off: offer the way back to it."""
    came_from = request.META.get("HTTP_REFERER", "")
    ours = url_has_allowed_host_and_scheme(came_from, {request.get_host()})
    return _page(request, 403, "csrf", back=came_from if ours else page_path("events"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404)


@limited(read=PAGES)
@csrf_exempt
def no_such_call(request: HttpRequest, anything: str = "") -> HttpResponse:
    """Answer in the shape of the API, in development too, where Django has a page of its own."""
    return _page(request, 404)


def too_large(request: HttpRequest) -> HttpResponse:
    """Refuse a body that is longer than anything we ask for."""
    return _page(request, 413)


def unsupported(request: HttpRequest) -> HttpResponse:
    """Refuse a body in a charset that we do not read."""
    return _page(request, 415)


def locked_out(request: HttpRequest, retry_after: int) -> HttpResponse:
    """Answer 429 to whoever tried too many passwords; `retry_after` in seconds."""
    response = _page(request, 429, "locked_out", minutes=ceil(retry_after / 60))
    response["Retry-After"] = str(retry_after)
    return response


def too_many_requests(request: HttpRequest, retry_after: int) -> HttpResponse:
    """Answer 429 to staff who do expensive work too often; `retry_after` in seconds."""
    response = _page(request, 429, minutes=ceil(retry_after / 60))
    response["Retry-After"] = str(retry_after)
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, 500)


def unavailable(request: HttpRequest, *, is_unsure: bool = False) -> HttpResponse:
    """Answer 503. A page with scripts keeps its form and tries by itself.

    Nothing was accepted, or nobody knows what was (`is_unsure`): the page says which.
    """
    # Admin's forms hold passwords: what was typed there does not come back in a page.
    is_admin = request.path.startswith("/admin/")
    kept = {} if is_admin else request.POST
    method = "get" if is_admin else (request.method or "get").lower()
    response = _page(
        request, 503, retry_after=RETRY_AFTER, is_unsure=is_unsure, kept=kept, method=method
    )
    response["Retry-After"] = str(RETRY_AFTER)
    return response


def _page(
    request: HttpRequest,
    status: int,
    name: str = "",
    *,
    retry_after: int = 0,
    **context: object,
) -> HttpResponse:
    # Nobody is looked up for an error page: the database may be what is wrong.
    request.user = AnonymousUser()
    # It may come from before the middleware that sees to this.
    with translation.override(translation.get_language_from_request(request)):
        if request.path.startswith("/api/"):
            code, text = ("csrf", CSRF) if name == "csrf" else ("", "")
            body = error_body(status, code=code, text=text, retry_after=retry_after)
            return JsonResponse(body, status=status)
        context |= {"retry_after": retry_after}
        return render(request, f"errors/{name or status}.html", context, status=status)
