"""What search engines and chat apps may read. Only pages marked `@indexable` may be indexed."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe

from snap.limits.policy import unlimited

HEADER = "X-Robots-Tag"
NOT_INDEXED = "noindex, nofollow"
INDEXED = "all"
NOT_KEPT = "noarchive, nosnippet, noimageindex"

CONSTANT_RESPONSE = "A constant text, without a query or a template."
# Crawlers ask for no page below these. The pages also say that they are not to be indexed. Passes
# (/guest/) only say so: an address that robots.txt forbids can be listed without its content, since
# no crawler reads `noindex` there.
ROBOTS = """\
User-agent: *
Disallow: /admin/
Disallow: /api/
Disallow: /challenge/
Disallow: /from-email/
Disallow: /i18n/
Disallow: /inbox/
Disallow: /media/qr/
Disallow: /sign-out/
Disallow: /staff/
Disallow: /ws/
Disallow: /promo/*/*/*/
"""

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
View = Callable[Concatenate[HttpRequest, P], R]


def indexable(view: View[P, R]) -> View[P, R]:
    """Let search engines index the page, unless it is an error or a redirect."""

    @wraps(view)
    def marked(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> R:
        response = view(request, *args, **kwargs)
        if response.status_code == 200:
            response.headers[HEADER] = INDEXED
        return response

    return cast("View[P, R]", marked)


def secret_address(view: View[P, R]) -> View[P, R]:
    """Say `noindex` to everybody who could be a crawler, for pages whose address is a secret.

    A crawler has no cookies. In a browser with a session the page only says that no copy may be
    kept, unless its address has a query, with which it may open without a session.
    """

    @wraps(view)
    def marked(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> R:
        response = view(request, *args, **kwargs)
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not request.META["QUERY_STRING"]:
            response.headers[HEADER] = NOT_KEPT
        return response

    return cast("View[P, R]", marked)


@unlimited(CONSTANT_RESPONSE)
@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(ROBOTS, content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = "public, max-age=86400"
    return response
