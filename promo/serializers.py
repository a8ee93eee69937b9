"""What the JSON API takes."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from accounts.forms import MAX_NAME_LENGTH, PHONE_MESSAGES, CodeForm, clean_name
from accounts.phones import MAX_TYPED_LENGTH, PhoneError, parse_phone

BIGGEST_ID = 2**63 - 1
MAX_KEY_LENGTH = 64


class PhoneSerializer(serializers.Serializer[Any]):
    phone = serializers.CharField(max_length=MAX_TYPED_LENGTH)

    def validate_phone(self, typed: str) -> str:
        try:
            return parse_phone(typed, settings.DEFAULT_COUNTRY)
        except PhoneError as error:
            raise serializers.ValidationError(PHONE_MESSAGES[error.code]) from error


class LoginSerializer(PhoneSerializer):
    code = serializers.CharField(max_length=20, required=False)

    def validate_code(self, typed: str) -> str:
        form = CodeForm({"code": typed})
        if not form.is_valid():
            raise serializers.ValidationError([str(said) for said in form.errors["code"]])
        digits: str = form.cleaned_data["code"]
        return digits


class RegisterSerializer(PhoneSerializer):
    firstName = serializers.CharField(max_length=MAX_NAME_LENGTH)  # noqa: N815 (the contract's)
    lastName = serializers.CharField(max_length=MAX_NAME_LENGTH)  # noqa: N815
    email = serializers.EmailField(max_length=254)

    def validate_firstName(self, typed: str) -> str:  # noqa: N802
        return clean_name(typed)

    def validate_lastName(self, typed: str) -> str:  # noqa: N802
        return clean_name(typed)


class PlaceSerializer(serializers.Serializer[Any]):
    """What a create call may say. The old front end also sends who it thinks is signed in."""

    event_id = serializers.IntegerField(min_value=1, max_value=BIGGEST_ID)
    promoter_id = serializers.IntegerField(
        min_value=1, max_value=BIGGEST_ID, required=False, allow_null=True
    )
    team_id = serializers.IntegerField(
        min_value=1, max_value=BIGGEST_ID, required=False, allow_null=True
    )
    name = serializers.CharField(max_length=121, required=False, allow_blank=True)
    client_user_id = serializers.CharField(
        max_length=64, required=False, allow_null=True, allow_blank=True
    )
    phone = serializers.CharField(max_length=40, required=False, allow_blank=True)
    email = serializers.CharField(max_length=254, required=False, allow_blank=True)


def read_place(request: Request, account_id: int) -> dict[str, Any]:
    """Return the checked body of a create call by that account, and its `idempotency_key`.

    Raises APIException.
    """
    serializer = PlaceSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    if data.get("client_user_id") not in {None, "", str(account_id)}:
        raise PermissionDenied(code="not_yours")
    return data | {"idempotency_key": read_idempotency_key(request)}


def read_idempotency_key(request: Request) -> str:
    """Return the checked Idempotency-Key header, "" without one. Raises ValidationError."""
    key: str = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        text = _("At most %(length)s printable ASCII characters.") % {"length": MAX_KEY_LENGTH}
        raise serializers.ValidationError({"Idempotency-Key": [text]})
    return key
