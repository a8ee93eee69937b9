"""Reads the JSON body and the phone of a request.

The limits of a route and its view call the same functions, so both see the same phone however it is
written.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType

from accounts.forms import parse_typed_phone
from accounts.phones import PhoneError, parse_phone, plain_phone
from snap.request_values import RequestValue
from snap.resilience.overload import is_utf8


class TooLarge(APIException):
    status_code = 413
    default_detail = _("This is too much at once.")


@dataclass(frozen=True)
class JsonBody:
    """A parsed body, or the exception that parsing raised."""

    value: Any = None
    error: APIException | None = None


_json_body: RequestValue[JsonBody] = RequestValue("json_body")


def read_json(request: HttpRequest) -> Any:
    """Return the parsed JSON body of a request. Several calls parse it once.

    Raises APIException: UnsupportedMediaType for any content type but `application/json` in UTF-8,
    TooLarge past DATA_UPLOAD_MAX_MEMORY_SIZE, and ParseError for a body that is not JSON.
    """
    body = _json_body.get(request)
    if body is None:
        body = _parse_body(request)
        _json_body.set(request, body)
    if body.error is not None:
        raise body.error
    return body.value


def _parse_body(request: HttpRequest) -> JsonBody:
    try:
        return JsonBody(_parse(request))
    except APIException as error:
        return JsonBody(error=error)


def _parse(request: HttpRequest) -> Any:
    content_type = request.META.get("CONTENT_TYPE", "")
    if request.content_type != "application/json" or not is_utf8(content_type):
        raise UnsupportedMediaType(content_type)
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise TooLarge from error
    except UnreadablePostError as error:
        raise ParseError from error
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ParseError from error


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python's parser takes and JSON does not have."""
    raise ValueError(name)


def read_phone(value: object) -> str:
    """Return a phone of a JSON body in E.164. Raises PhoneError.

    A number without `+` belongs to DEFAULT_COUNTRY.
    """
    if not isinstance(value, str):
        raise PhoneError("invalid")
    return parse_phone(plain_phone(value), settings.DEFAULT_COUNTRY)


def phone_in_json(request: HttpRequest) -> str:
    """Return the phone in a JSON body in E.164, "" without a valid one."""
    try:
        body = read_json(request)
        if isinstance(body, dict):
            return read_phone(body.get("phone"))
    except (APIException, PhoneError):
        pass
    return ""


def phone_in_form(request: HttpRequest) -> str:
    """Return the phone in the phone form in E.164, "" without a valid one."""
    try:
        form = request.POST
        return parse_typed_phone(form.get("phone", ""), form.get("country", ""))
    except (PhoneError, RequestDataTooBig, UnreadablePostError):
        return ""
