"""Reads what a request says: a JSON body and a phone, by one function each.

The limits of a route and its view read the same value, so no spelling passes one and not the other.
"""

import json
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType

from accounts.forms import parse_typed_phone
from accounts.phones import PhoneError, parse_phone
from snap.resilience.overload import is_utf8

# The result of reading a body, or the exception, is kept on the request under this name.
KEPT = "json_body"


class TooLarge(APIException):
    status_code = 413
    default_detail = _("This is too much at once.")


def read_json(request: HttpRequest) -> Any:
    """Return the JSON body of a request. It is parsed once.

    Raises APIException: UnsupportedMediaType for any content type but `application/json` in UTF-8,
    TooLarge, and ParseError for what is no JSON.
    """
    if not hasattr(request, KEPT):
        try:
            setattr(request, KEPT, _parse(request))
        except APIException as error:
            setattr(request, KEPT, error)
    kept = getattr(request, KEPT)
    if isinstance(kept, APIException):
        raise kept
    return kept


def _parse(request: HttpRequest) -> Any:
    given = request.META.get("CONTENT_TYPE", "")
    if request.content_type != "application/json" or not is_utf8(given):
        raise UnsupportedMediaType(given)
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
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(name)


def read_phone(value: object) -> str:
    """Return the E.164 form of a phone in a JSON body. Raises PhoneError.

    A number without `+` is one of DEFAULT_COUNTRY.
    """
    if not isinstance(value, str):
        raise PhoneError("invalid")
    return parse_phone(value, settings.DEFAULT_COUNTRY)


def phone_in_json(request: HttpRequest) -> str:
    """Return the phone in a JSON body, "" when there is none."""
    try:
        body = read_json(request)
        return read_phone(body.get("phone")) if isinstance(body, dict) else ""
    except (APIException, PhoneError):
        return ""


def phone_in_form(request: HttpRequest) -> str:
    """Return the phone in the phone form, "" when there is none."""
    try:
        form = request.POST
        return parse_typed_phone(form.get("phone", ""), form.get("country", ""))
    except (PhoneError, RequestDataTooBig, UnreadablePostError):
        return ""
