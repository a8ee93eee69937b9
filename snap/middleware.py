from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest], HttpResponse]


def refuse_null_bytes(get_response: Handler) -> Handler:
    """Answer 400 to addresses with a null byte, which PostgreSQL takes in no text."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("null byte")
        return get_response(request)

    return middleware
