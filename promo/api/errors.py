"""The JSON API's errors: one exception handler."""

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
from promo.limits.responses import challenge_page_url
from promo.refusals import refusal_of
from promo.request_data import TooLarge
from snap.error_pages import error_body


def refusal(error: GuestError | AccountError) -> Response:
    """Return the answer to a refusal: its stable code, and a sentence."""
    known = refusal_of(error.code)
    wait = getattr(error, "retry_after", 0)
    fields = {known.field: [str(known.text)]} if known.field else None
    body = error_body(
        known.status, code=error.code, text=known.text, fields=fields, retry_after=wait
    )
    if getattr(error, "may_solve", False):
        body["challengeUrl"] = challenge_page_url("code")
    headers = {"Retry-After": str(wait)} if wait else None
    return Response(body, status=known.status, headers=headers)


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception into an API error (docs/reference.md, Errors). None: it propagates."""
    if isinstance(error, (GuestError, AccountError)):
        return refusal(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, RequestDataTooBig):
        error = TooLarge()
    elif isinstance(error, (SuspiciousOperation, UnreadablePostError)):
        error = exceptions.ParseError()
    if not isinstance(error, exceptions.APIException):
        return None
    codes = error.get_codes()
    code = codes if codes in ("csrf", "not_yours") else ""
    body = error_body(error.status_code, code=code, text=_sentence(error), fields=_fields(error))
    response = Response(body, status=error.status_code)
    if isinstance(error, exceptions.NotAuthenticated):
        response["WWW-Authenticate"] = "Session"
    return response


def _sentence(error: exceptions.APIException) -> str:
    if isinstance(error, exceptions.ValidationError):
        return _("Some fields are wrong.")
    return str(error.detail)


def _fields(error: exceptions.APIException) -> dict[str, Any] | None:
    if isinstance(error, exceptions.ValidationError):
        return error.detail if isinstance(error.detail, dict) else {"body": error.detail}
    return {"body": [str(error.detail)]} if error.status_code == 400 else None
