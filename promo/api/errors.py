"""The exception handler of the JSON API, and its responses to refusals."""

from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, UnreadablePostError
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from accounts.exceptions import AccountError
from guests.exceptions import GuestError
from promo.limits.too_many import challenge_page_url
from promo.refusals import refusal_of
from promo.request_data import TooLarge
from snap.api_errors import error_body

# Codes of PermissionDenied errors. Other API errors have the usual code of their status.
PERMISSION_CODES = {"csrf", "not_yours"}


def refusal_response(error: GuestError | AccountError) -> Response:
    """Return the response to a refusal: the status and text from `promo.refusals`, and its code."""
    refusal = refusal_of(error.code)
    headers: dict[str, str] = {}
    retry_after, challenge_url = 0, ""
    if isinstance(error, AccountError) and error.retry_after:
        retry_after = error.retry_after
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, AccountError) and error.may_solve:
        challenge_url = challenge_page_url("code")
    body = error_body(
        refusal.status,
        code=error.code,
        text=refusal.text,
        fields=refusal.fields,
        retry_after=retry_after,
        challenge_url=challenge_url,
    )
    return Response(body, status=refusal.status, headers=headers)


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to an exception of a view; None for a bug, which Django reports."""
    if isinstance(error, (GuestError, AccountError)):
        return refusal_response(error)
    api_error = _as_api_exception(error)
    if api_error is None:
        return None
    code = str(api_error.get_codes())
    if code not in PERMISSION_CODES:
        code = ""
    body = error_body(
        api_error.status_code, code=code, text=_text_of(api_error), fields=_fields_of(api_error)
    )
    response = Response(body, status=api_error.status_code)
    if isinstance(api_error, exceptions.NotAuthenticated):
        response["WWW-Authenticate"] = "Session"
    return response


def _as_api_exception(error: Exception) -> exceptions.APIException | None:
    match error:
        case exceptions.APIException():
            return error
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case RequestDataTooBig():
            return TooLarge()
        case SuspiciousOperation() | UnreadablePostError():
            return exceptions.ParseError()
        case _:
            return None


def _text_of(error: exceptions.APIException) -> str:
    if isinstance(error, exceptions.ValidationError):
        return _("Some fields are wrong.")
    return str(error.detail)


def _fields_of(error: exceptions.APIException) -> dict[str, Any] | None:
    """Return the errors by field. An error of the whole body has the field `body`."""
    if isinstance(error, exceptions.ValidationError):
        if isinstance(error.detail, dict):
            return error.detail
        return {"body": error.detail}
    if error.status_code == 400:
        return {"body": [str(error.detail)]}
    return None
