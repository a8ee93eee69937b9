"""Middleware for all responses: browser headers, refusals of invalid requests, outages."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.translation import gettext

from snap import crawlers
from snap.error_pages import bad_request, too_large, unavailable, unsupported
from snap.languages import language_of
from snap.resilience.connections import deadline
from snap.resilience.database import DatabaseUnavailableError
from snap.resilience.overload import OVERLOADED, UNREADABLE, announced_length, is_utf8
from snap.resilience.slots import BusyError

log = logging.getLogger(__name__)

Handler = Callable[[HttpRequest], HttpResponse]

# Browser features that no page uses. A view that needs one sets the header itself.
UNUSED_FEATURES = (
    "accelerometer",
    "autoplay",
    "browsing-topics",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in UNUSED_FEATURES)


def add_browser_headers(get_response: Handler) -> Handler:
    """Add headers that disable browser features, embedding, caching and indexing.

    Responses that may be cached (static files, posters, QR images) set Cache-Control themselves.
    All others can contain personal data. Pages that may be indexed have `@indexable`.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store, private")
        response.headers.setdefault(crawlers.HEADER, crawlers.NOT_INDEXED)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    return middleware


def refuse_large_bodies(get_response: Handler) -> Handler:
    """Answer 413 if a body announces too large a length, before the body is read."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if announced_length(request.META) is None:
            return too_large(request)
        return get_response(request)

    return middleware


def refuse_charsets(get_response: Handler) -> Handler:
    """Answer 415 to bodies in any charset other than UTF-8.

    Django would decode the form, and also the query, with the codec that the content type names.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if UNREADABLE in request.META or not is_utf8(request.META.get("CONTENT_TYPE", "")):
            return unsupported(request)
        return get_response(request)

    return middleware


def refuse_null_bytes(get_response: Handler) -> Handler:
    """Answer 400 to URLs with a null byte, which PostgreSQL stores in no text."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return bad_request(request)
        return get_response(request)

    return middleware


def refuse_overloaded(get_response: Handler) -> Handler:
    """Answer 503 to requests that have waited too long for a turn (snap.resilience.overload).

    Nothing was accepted, and the page tries again. Static files are served before this middleware.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if OVERLOADED in request.META:
            return unavailable(request)
        return get_response(request)

    return middleware


class LanguageMiddleware(LocaleMiddleware):
    """Activates the language that `snap.languages` chooses for a request."""

    def process_request(self, request: HttpRequest) -> None:
        translation.activate(language_of(request))
        request.LANGUAGE_CODE = translation.get_language()


class DatabaseUnavailableMiddleware:
    """Limits how long a page waits for the database, and returns 503 when it is away.

    It also returns 503 when all slots for expensive work are taken (snap.resilience.slots). The
    pages that guests need have their own emergency fallback, so they do not get here.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with deadline(settings.DATABASE_PAGE_SECONDS):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, (OperationalError, InterfaceError, DatabaseUnavailableError)):
            log.error("database_unavailable", extra={"error": type(error).__name__})
            # A commit whose response was lost, or an earlier commit, may have stored something.
            lines = [gettext("The database does not answer in time.")]
            return unavailable(request, is_unsure=True, lines=lines)
        if isinstance(error, BusyError):
            log.warning("slots_taken", extra={"work": str(error)})
            return unavailable(request)
        return None
