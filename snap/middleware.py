import logging
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from .connections import within
from .database import DatabaseAwayError
from .errors import unavailable

log = logging.getLogger(__name__)

Handler = Callable[[HttpRequest], HttpResponse]


def refuse_null_bytes(get_response: Handler) -> Handler:
    """Answer 400 to addresses with a null byte, which PostgreSQL takes in no text."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("null byte")
        return get_response(request)

    return middleware


class DatabaseAwayMiddleware:
    """Limits what any page waits for the database, and answers 503 when that is away.

    Pages that guests need have an emergency way of their own before it comes to that.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with within(settings.DATABASE_PAGE_SECONDS):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, (OperationalError, InterfaceError, DatabaseAwayError)):
            log.error("database_away", extra={"error": type(error).__name__})
            return unavailable(request)
        return None
