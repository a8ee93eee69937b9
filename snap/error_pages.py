"""Error pages: a text for people and the right status. Under /api/ the same errors are JSON.

They read no database and no session, so they can be shown while the servers are away.
"""

from collections.abc import Sequence
from math import ceil

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt

from snap.api_errors import CSRF_TEXT, UNSURE_TEXT, error_body
from snap.languages import language_of
from snap.limits.policy import PAGES, SAFE_METHODS, limited
from snap.pages import event_page_of, page_path

RETRY_AFTER = 5  # seconds
# Pages of staff have words of their own where those for guests would not help.
STAFF_PATHS = ("/admin/", "/staff/")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _render_error(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _render_error(request, 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Render 403 for a form that is too old or a browser without cookies, with a link back."""
    if _is_api(request):
        return _render_error(request, 403, code="csrf", text=CSRF_TEXT)
    return _render_error(request, 403, template="csrf", back=_way_back(request))


def _way_back(request: HttpRequest) -> str:
    """Return the page of an expired form, else the page of its event and promoter, else all events.

    Browsers can leave out the Referer, and a form can name the page that it was shown on.
    """
    pages: list[str] = [request.headers.get("Referer", ""), request.POST.get("next", "")]
    for page in pages:
        if page and url_has_allowed_host_and_scheme(page, {request.get_host()}):
            return page
    return event_page_of(request.path_info) or page_path("events")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _render_error(request, 404)


@limited(read=PAGES)
@csrf_exempt
def no_such_call(request: HttpRequest, anything: str = "") -> HttpResponse:
    """Render 404 for an unknown call of the API, in development too, where Django has its page."""
    return _render_error(request, 404)


def too_large(request: HttpRequest) -> HttpResponse:
    """Render 413 for a body that is longer than any form or call needs."""
    return _render_error(request, 413)


def unsupported(request: HttpRequest) -> HttpResponse:
    """Render 415 for a body in another charset than UTF-8."""
    return _render_error(request, 415)


def locked_out(request: HttpRequest, retry_after: int) -> HttpResponse:
    """Render 429 after too many wrong passwords; `retry_after` in seconds."""
    response = _render_error(request, 429, template="locked_out", minutes=ceil(retry_after / 60))
    response["Retry-After"] = str(retry_after)
    return response


def too_many_requests(request: HttpRequest, retry_after: int) -> HttpResponse:
    """Render 429 for staff who start expensive work too often; `retry_after` in seconds."""
    response = _render_error(request, 429, minutes=ceil(retry_after / 60))
    response["Retry-After"] = str(retry_after)
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    return _render_error(request, 500)


def unavailable(
    request: HttpRequest, *, is_unsure: bool = False, lines: Sequence[str] = ()
) -> HttpResponse:
    """Render 503. A page with scripts keeps its form and sends it again by itself.

    `is_unsure`: the work had begun, so a POST may have been accepted. By default it was not. The
    page and the error of the API say which. `lines`: what pages of staff tell, a sentence each.
    """
    template, method, kept = "503", (request.method or "get").lower(), request.POST
    if request.path.startswith(STAFF_PATHS):
        # Their forms hold passwords: the page must not contain what was typed there.
        template, method, kept = "503_staff", "get", QueryDict()
    text: object = ""
    if is_unsure and request.method not in SAFE_METHODS:
        text = UNSURE_TEXT
    response = _render_error(
        request,
        503,
        template=template,
        text=text,
        retry_after=RETRY_AFTER,
        unsure_text=text,
        kept=kept,
        method=method,
        lines=lines,
    )
    response["Retry-After"] = str(RETRY_AFTER)
    return response


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _render_error(
    request: HttpRequest,
    status: int,
    *,
    template: str = "",
    code: str = "",
    text: object = "",
    retry_after: int = 0,
    **context: object,
) -> HttpResponse:
    """Render `errors/<template or status>.html`; for the API the error with this code and text."""
    # No account is looked up for an error page: the database may be the cause.
    request.user = AnonymousUser()
    # LanguageMiddleware may not have run yet.
    with translation.override(language_of(request)):
        if _is_api(request):
            body = error_body(status, code=code, text=text, retry_after=retry_after)
            return JsonResponse(body, status=status)
        context["retry_after"] = retry_after
        context["event_page"] = event_page_of(request.path_info)
        return render(request, f"errors/{template or status}.html", context, status=status)
