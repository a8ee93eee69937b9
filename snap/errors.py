"""Error pages: a sentence for people, the right status, and nothing that can fail in turn."""

from http import HTTPStatus
from math import ceil

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

RETRY_AFTER = 5  # seconds


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form is too old, or cookies are off: offer the way back to it."""
    came_from = request.META.get("HTTP_REFERER", "")
    ours = url_has_allowed_host_and_scheme(came_from, {request.get_host()})
    return _page(request, 403, "csrf", back=came_from if ours else reverse("promo:events"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404)


def too_large(request: HttpRequest) -> HttpResponse:
    """Refuse a body that is longer than anything we ask for."""
    return _page(request, 413)


def locked_out(request: HttpRequest, retry_after: int) -> HttpResponse:
    """Answer 429 to whoever tried too many passwords; `retry_after` in seconds."""
    answer = _page(request, 429, "locked_out", minutes=ceil(retry_after / 60))
    answer["Retry-After"] = str(retry_after)
    return answer


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, 500)


def unavailable(request: HttpRequest) -> HttpResponse:
    """Answer 503: nothing was accepted. A page with scripts keeps its form and tries by itself."""
    answer = _page(request, 503, retry_after=RETRY_AFTER)
    answer["Retry-After"] = str(RETRY_AFTER)
    return answer


def _page(
    request: HttpRequest, status: int, name: str | int | None = None, **context: object
) -> HttpResponse:
    # Nobody is looked up for an error page: the database may be what is wrong.
    request.user = AnonymousUser()
    if request.path.startswith("/api/"):
        return _for_scripts(status, context.get("retry_after"))
    return render(request, f"errors/{name or status}.html", context, status=status)


def _for_scripts(status: int, retry_after: object) -> JsonResponse:
    """Say it in the API's shape: it did not come as far as the API's own handler."""
    codes = {
        400: "invalid",
        403: "not_allowed",
        404: "not_found",
        413: "too_large",
        503: "unavailable",
    }
    text = HTTPStatus(status).phrase
    body: dict[str, object] = {"success": False, "error": text, "code": codes.get(status, "error")}
    if status == 400:
        body["fields"] = {}
    if retry_after:
        body["retryAfter"] = retry_after
    return JsonResponse(body, status=status)
