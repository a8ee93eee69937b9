"""What the JSON API takes."""

import re
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from accounts.forms import (
    MAX_FULL_NAME_LENGTH,
    MAX_NAME_LENGTH,
    MAX_TYPED_CODE,
    PHONE_MESSAGES,
    CodeForm,
    clean_name,
    validate_reachable,
)
from accounts.phones import MAX_TYPED_LENGTH, PhoneError
from promo.request_data import read_phone

BIGGEST_ID = 2**63 - 1
KEY_HEADER = "Idempotency-Key"
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,64}")


class Text(serializers.CharField):
    """A JSON string, and nothing that could be written as one."""

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON number without a fraction: no string, no true, no 1.0."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class Email(Text, serializers.EmailField):
    """An email as the form takes it."""

    default_validators = [validate_reachable]


class Phone(Text):
    """A phone as `read_phone` reads it, for the limits of the route too."""

    def __init__(self) -> None:
        super().__init__(trim_whitespace=False, max_length=MAX_TYPED_LENGTH)

    def to_internal_value(self, data: object) -> str:
        try:
            return read_phone(super().to_internal_value(data))
        except PhoneError as error:
            raise serializers.ValidationError(PHONE_MESSAGES[error.code]) from error


class AccountId(Text):
    """An account's id, as a string or as the number that our own answers give."""

    def to_internal_value(self, data: object) -> str:
        return super().to_internal_value(str(data) if type(data) is int else data)


class PhoneSerializer(serializers.Serializer[Any]):
    phone = Phone()


class LoginSerializer(PhoneSerializer):
    code = Text(max_length=MAX_TYPED_CODE, required=False)

    def validate_code(self, typed: str) -> str:
        form = CodeForm({"code": typed})
        if not form.is_valid():
            raise serializers.ValidationError([str(said) for said in form.errors["code"]])
        digits: str = form.cleaned_data["code"]
        return digits


class RegisterSerializer(PhoneSerializer):
    firstName = Text(max_length=MAX_NAME_LENGTH)  # noqa: N815 (the contract's)
    lastName = Text(max_length=MAX_NAME_LENGTH)  # noqa: N815
    email = Email(max_length=254)

    def validate_firstName(self, typed: str) -> str:  # noqa: N802
        return clean_name(typed)

    def validate_lastName(self, typed: str) -> str:  # noqa: N802
        return clean_name(typed)


class PlaceSerializer(serializers.Serializer[Any]):
    """What a create call may say. The old front end also sends who it thinks is signed in."""

    event_id = Whole(min_value=1, max_value=BIGGEST_ID)
    promoter_id = Whole(min_value=1, max_value=BIGGEST_ID, required=False, allow_null=True)
    team_id = Whole(min_value=1, max_value=BIGGEST_ID, required=False, allow_null=True)
    name = Text(max_length=MAX_FULL_NAME_LENGTH, required=False, allow_blank=True)
    client_user_id = AccountId(max_length=64, required=False, allow_null=True, allow_blank=True)
    phone = Text(max_length=40, required=False, allow_blank=True)
    email = Text(max_length=254, required=False, allow_blank=True)

    def validate_name(self, typed: str) -> str:
        return clean_name(typed, MAX_FULL_NAME_LENGTH) if typed else ""


def read_place(request: Request, account_id: int) -> dict[str, Any]:
    """Return the checked body of a create call by that account, and its key. Raises APIException.

    `idempotency_key` is "" where none was sent.
    """
    key = read_idempotency_key(request)
    serializer = PlaceSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    if data.get("client_user_id") not in {None, "", str(account_id)}:
        raise PermissionDenied(code="not_yours")
    return data | {"idempotency_key": key}


def read_idempotency_key(request: Request) -> str:
    """Return the key of a call, "" without one. Raises serializers.ValidationError."""
    key: str = request.headers.get(KEY_HEADER, "")
    if key and not IDEMPOTENCY_KEY.fullmatch(key):
        error = _("An Idempotency-Key has 1 to 64 characters, each a visible one of ASCII.")
        raise serializers.ValidationError({KEY_HEADER: [error]})
    return key
