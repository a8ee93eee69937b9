"""The one shape of an error of the JSON API (docs/reference.md, Errors), and its usual texts."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

# The code and the text of an error that has none of its own, by status.
DEFAULT_ERRORS: dict[int, tuple[str, Promise]] = {
    400: ("invalid", _("This request is not one that we understand.")),
    401: ("not_signed_in", _("Sign in first.")),
    403: ("not_allowed", _("This is not allowed.")),
    404: ("not_found", _("There is no such thing.")),
    405: ("method_not_allowed", _("This is not allowed.")),
    406: ("not_acceptable", _("This request is not one that we understand.")),
    413: ("too_large", _("This is too much at once.")),
    415: ("unsupported_media_type", _("This request is not one that we understand.")),
    429: ("too_many", _("Too many attempts. Wait a moment and try again.")),
    500: ("error", _("Something went wrong on our side.")),
    503: ("unavailable", _("We cannot take requests just now. Try again in a moment.")),
}
CSRF_TEXT = _("The session's token is missing or too old.")
# Of a 503 after which the request may have been stored.
UNSURE_TEXT = _("We do not know whether this was kept: look before you send it again.")


class ErrorCodeField(serializers.CharField):
    """The code of an error. The schema of the API lists the codes."""


class ErrorSerializer(serializers.Serializer[Any]):
    """The body of an error."""

    success = serializers.BooleanField()
    error = serializers.CharField(help_text="A sentence for people, in their language.")
    code = ErrorCodeField(help_text="A word for programs, which stays the same.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="With 400, and 409 about a field: what is wrong, by field.",
    )
    retryAfter = serializers.IntegerField(  # noqa: N815 (the contract's)
        required=False, help_text="With 429 and 503: seconds to wait."
    )
    challengeUrl = serializers.CharField(  # noqa: N815
        required=False, help_text="With 429: a page that lets this browser go on at once."
    )


# One instance renders all errors; a new one costs ten times its use.
_serializer = ErrorSerializer()


def error_body(
    status: int,
    *,
    code: str = "",
    text: object = "",
    fields: Mapping[str, object] | None = None,
    retry_after: int = 0,
    challenge_url: str = "",
) -> dict[str, Any]:
    """Return the body of an API error with this status. No other function makes one.

    Code and text are the usual ones of the status by default. `fields`: the errors of each field,
    as lists. `retry_after`: seconds.
    """
    default_code, default_text = DEFAULT_ERRORS.get(status, DEFAULT_ERRORS[500])
    values: dict[str, object] = {
        "success": False,
        "error": text or default_text,
        "code": code or default_code,
    }
    if fields is not None or status == 400:
        values["fields"] = fields or {}
    if retry_after:
        values["retryAfter"] = retry_after
    if challenge_url:
        values["challengeUrl"] = challenge_url
    return _serializer.to_representation(values)
