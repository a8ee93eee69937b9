"""Error pages: a sentence for people, the right status, and nothing that can fail in turn."""

from math import ceil

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt

RETRY_AFTER = 5  # seconds

# What scripts are told of an error that came before the API's own handler: code and sentence.
FOR_SCRIPTS: dict[object, tuple[str, object]] = {
    400: ("invalid", _("This request is not one that we understand.")),
    403: ("not_allowed", _("This is not allowed.")),
    404: ("not_found", _("There is no such thing.")),
    413: ("too_large", _("This is too much at once.")),
    429: ("too_many", _("Too many attempts. Try again later.")),
    500: ("error", _("Something went wrong on our side.")),
    503: ("unavailable", _("We cannot take requests just now. Try again in a moment.")),
    "csrf": ("csrf", _("The session's token is missing or too old.")),
}


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


@csrf_exempt
def no_such_call(request: HttpRequest, anything: str = "") -> HttpResponse:
    """Answer in the shape of the API, in development too, where Django has a page of its own."""
    return _page(request, 404)


def too_large(request: HttpRequest) -> HttpResponse:
    """Refuse a body that is longer than anything we ask for."""
    return _page(request, 413)


def locked_out(request: HttpRequest, retry_after: int) -> HttpResponse:
    """Answer 429 to whoever tried too many passwords; `retry_after` in seconds."""
    answer = _page(request, 429, "locked_out", minutes=ceil(retry_after / 60))
    answer["Retry-After"] = str(retry_after)
    return answer


def too_often(request: HttpRequest, retry_after: int) -> HttpResponse:
    """Answer 429 to staff who do expensive work too often; `retry_after` in seconds."""
    answer = _page(request, 429, minutes=ceil(retry_after / 60))
    answer["Retry-After"] = str(retry_after)
    return answer


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, 500)


def unavailable(request: HttpRequest) -> HttpResponse:
    """Answer 503: nothing was accepted. A page with scripts keeps its form and tries by itself."""
    # Admin's forms hold passwords: what was typed there does not come back in a page.
    kept = {} if request.path.startswith("/admin/") else request.POST
    method = "get" if request.path.startswith("/admin/") else (request.method or "get").lower()
    answer = _page(request, 503, retry_after=RETRY_AFTER, kept=kept, method=method)
    answer["Retry-After"] = str(RETRY_AFTER)
    return answer


def _page(
    request: HttpRequest, status: int, name: str | int | None = None, **context: object
) -> HttpResponse:
    # Nobody is looked up for an error page: the database may be what is wrong.
    request.user = AnonymousUser()
    # It may come from before the middleware that sees to this.
    with translation.override(translation.get_language_from_request(request)):
        if request.path.startswith("/api/"):
            return _for_scripts(status, name, context.get("retry_after"))
        return render(request, f"errors/{name or status}.html", context, status=status)


def _for_scripts(status: int, name: str | int | None, retry_after: object) -> JsonResponse:
    """Say it in the API's shape: it did not come as far as the API's own handler."""
    code, text = FOR_SCRIPTS[name if name in FOR_SCRIPTS else status]
    body: dict[str, object] = {"success": False, "error": str(text), "code": code}
    if status == 400:
        body["fields"] = {}
    if retry_after:
        body["retryAfter"] = retry_after
    return JsonResponse(body, status=status)
