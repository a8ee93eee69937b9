"""Serializers of the JSON API: what its calls take and what they return.

The views validate and render with them, and `promo.api.schema` documents the same classes.
"""

# ruff: noqa: N815 (field names are those of the contract)

import re
from datetime import datetime
from functools import cache
from typing import Any, Self

from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ParseError, PermissionDenied
from rest_framework.fields import empty
from rest_framework.request import Request

from accounts.forms import MAX_TYPED_CODE, CodeForm
from accounts.names import MAX_FULL_NAME_LENGTH, MAX_NAME_LENGTH, clean_name
from accounts.phones import MAX_TYPED_LENGTH, PHONE_MESSAGES, PhoneError, plain_phone
from guests.models import Event
from guests.place_status import PlaceCode
from guests.requests.tickets import TicketState
from promo.request_data import read_phone
from snap.api_errors import ErrorCodeField
from snap.mail_addresses import MAX_LENGTH as MAX_EMAIL_LENGTH
from snap.mail_addresses import clean_email, readable_address
from snap.text import clean_line
from snap.text_fields import Cleaner, clean_typed

# The biggest value of PostgreSQL's bigint.
MAX_ID = 2**63 - 1
KEY_HEADER = "Idempotency-Key"
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,64}")

# Requests ----------------------------------------------------------------------------------------


class StringField(serializers.CharField):
    """A JSON string, cleaned. Numbers and booleans are not converted to one.

    A string of which nothing is visible is refused; "" and spaces are the absence of a string.
    """

    def __init__(self, *, cleaner: Cleaner = clean_line, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        self.cleaner = cleaner

    def run_validation(self, data: Any = empty) -> Any:
        if isinstance(data, str) and not data.strip():
            data = ""
        return super().run_validation(data)

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        cleaned = clean_typed(data, self.cleaner, self.max_length)
        if not cleaned:
            self.fail("blank")
        return super().to_internal_value(cleaned)


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction. Strings, booleans and 1.0 are refused."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class PhoneField(StringField):
    """A phone, parsed by `read_phone` as the limits of the route do. Its value is E.164."""

    def __init__(self) -> None:
        super().__init__(cleaner=plain_phone, max_length=MAX_TYPED_LENGTH)

    def to_internal_value(self, data: object) -> str:
        try:
            return read_phone(super().to_internal_value(data))
        except PhoneError as error:
            raise serializers.ValidationError(PHONE_MESSAGES[error.code]) from error


class AccountIdField(StringField):
    """An account's id, as a string or as the number that our own responses contain."""

    def to_internal_value(self, data: object) -> str:
        if type(data) is int:
            data = str(data)
        return super().to_internal_value(data)


class PhoneSerializer(serializers.Serializer[Any]):
    phone = PhoneField()


class LoginSerializer(PhoneSerializer):
    code = StringField(max_length=MAX_TYPED_CODE, required=False)

    def validate_code(self, typed: str) -> str:
        form = CodeForm({"code": typed})
        if not form.is_valid():
            raise serializers.ValidationError(list(map(str, form.errors["code"])))
        digits: str = form.cleaned_data["code"]
        return digits


class RegisterSerializer(PhoneSerializer):
    """A new account. People with one name send it as `firstName`."""

    firstName = StringField(cleaner=clean_name, max_length=MAX_NAME_LENGTH)
    lastName = StringField(
        cleaner=clean_name,
        max_length=MAX_NAME_LENGTH,
        default="",
        allow_blank=True,
        allow_null=True,
    )
    email = StringField(cleaner=clean_email, max_length=MAX_EMAIL_LENGTH)

    def validate_lastName(self, name: str | None) -> str:  # noqa: N802 (named after the field)
        return name or ""


class PlaceSerializer(serializers.Serializer[Any]):
    """The body of a create call.

    The earlier front end also sends `client_user_id`, `phone` and `email` of its visitor. Only the
    id is checked: it must be the id of the account that is signed in.
    """

    event_id = StrictIntegerField(min_value=1, max_value=MAX_ID)
    promoter_id = StrictIntegerField(min_value=1, max_value=MAX_ID, required=False, allow_null=True)
    team_id = StrictIntegerField(min_value=1, max_value=MAX_ID, required=False, allow_null=True)
    name = StringField(
        cleaner=clean_name, max_length=MAX_FULL_NAME_LENGTH, required=False, allow_blank=True
    )
    client_user_id = AccountIdField(
        max_length=64, required=False, allow_null=True, allow_blank=True
    )
    phone = StringField(max_length=40, required=False, allow_blank=True)
    email = StringField(max_length=254, required=False, allow_blank=True)


def validate_body(
    serializer_class: type[serializers.Serializer[Any]], request: Request
) -> dict[str, Any]:
    """Return the validated body of a call. Raises APIException for a bad one."""
    if request.data is None:
        raise ParseError  # REST framework has a text for `null` that nothing translates.
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data


def read_place(request: Request, account_id: int) -> dict[str, Any]:
    """Return the validated body of a create call of this account, with its `idempotency_key`.

    The key is "" when none was sent. Raises APIException for a bad body or key, and the
    PermissionDenied `not_yours` when the body names another account.
    """
    key = read_idempotency_key(request)
    data = validate_body(PlaceSerializer, request)
    if data.get("client_user_id") not in {None, "", str(account_id)}:
        raise PermissionDenied(code="not_yours")
    return data | {"idempotency_key": key}


def read_idempotency_key(request: Request) -> str:
    """Return the Idempotency-Key header, "" without one. Raises serializers.ValidationError."""
    key: str = request.headers.get(KEY_HEADER, "")
    if key and not IDEMPOTENCY_KEY.fullmatch(key):
        error = _("An Idempotency-Key has 1 to 64 characters, each a visible one of ASCII.")
        raise serializers.ValidationError({KEY_HEADER: [error]})
    return key


# Responses ---------------------------------------------------------------------------------------


class ResponseSerializer(serializers.Serializer[Any]):
    """The body of a successful response."""

    success = serializers.BooleanField()

    @classmethod
    def render(cls, **values: object) -> dict[str, Any]:
        """Return the body with these values. Fields that are not required may be left out."""
        return cls._shared().to_representation({"success": True, **values})

    @classmethod
    @cache
    def _shared(cls) -> Self:
        """Return the instance that renders all responses; a new one costs ten times its use."""
        return cls()


class IsoDateTimeField(serializers.DateTimeField):
    """ISO 8601 with the offset of the value's own time zone. DRF would convert to the server's."""

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


class EventDataSerializer(serializers.Serializer[Any]):
    """An event, for scripts that ask for a place."""

    id = serializers.IntegerField(help_text="What `event_id` of a create call takes.")
    slug = serializers.CharField()
    title = serializers.CharField()
    venue = serializers.CharField()
    startsAt = IsoDateTimeField(source="local_start")
    endsAt = IsoDateTimeField(source="local_end")
    timeZone = serializers.CharField(source="time_zone")
    listState = serializers.ChoiceField(Event.ListState.values, source="list_state")
    eventState = serializers.ChoiceField(Event.Phase.values, source="phase")
    url = serializers.SerializerMethodField()

    def get_url(self, event: Event) -> str:
        return reverse("promo:event", args=[event.slug])


class ReadableEmailField(serializers.CharField):
    """An email with its domain in Unicode, as people write it."""

    def to_representation(self, value: str) -> str:
        return readable_address(value)


class UserDataSerializer(serializers.Serializer[Any]):
    """An account, for itself."""

    id = serializers.IntegerField()
    firstName = serializers.CharField(source="first_name")
    lastName = serializers.CharField(source="last_name")
    phone = serializers.CharField(help_text="E.164")
    email = ReadableEmailField()


class PlaceField(serializers.ChoiceField):
    """What the holder of a place is told."""

    def __init__(self, **options: Any) -> None:
        codes = [code.value for code in PlaceCode if code is not PlaceCode.REPLACED]
        super().__init__(codes, **options)


class PlaceDataSerializer(serializers.Serializer[Any]):
    """A place on the list has a QR code, one in the waiting list a position."""

    id = serializers.IntegerField()
    qr_code_url = serializers.CharField(required=False)
    position = serializers.IntegerField(required=False)
    place = PlaceField()
    eventState = serializers.ChoiceField(Event.Phase.values)


class TicketDataSerializer(serializers.Serializer[Any]):
    """The place of a request, its position in the line, or the reason why it has no place."""

    id = serializers.IntegerField(required=False)
    qr_code_url = serializers.CharField(required=False)
    position = serializers.IntegerField(required=False)
    place = PlaceField(required=False)
    eventState = serializers.ChoiceField(Event.Phase.values, required=False)
    code = ErrorCodeField(required=False)
    error = serializers.CharField(required=False)


class EventsSerializer(ResponseSerializer):
    """The events that are not over."""

    events = EventDataSerializer(many=True)


class PhoneCheckedSerializer(ResponseSerializer):
    """Whether a phone has an account."""

    exists = serializers.BooleanField()
    userId = serializers.IntegerField(
        allow_null=True, help_text="Null unless the phone's own account is signed in."
    )
    source = serializers.ChoiceField(["cache", "database"])  # type: ignore[assignment]


class CodeSentSerializer(ResponseSerializer):
    """A code is on its way to the account of the phone."""

    codeSent = serializers.BooleanField()
    channel = serializers.ChoiceField(["email", "sms"])
    retryAfter = serializers.IntegerField(help_text="Seconds until another code may be asked for.")


class SignedInSerializer(ResponseSerializer):
    """The account that this browser is signed in to."""

    user = UserDataSerializer()


class RegisteredSerializer(SignedInSerializer):
    """The new account, which this browser is signed in to."""

    message = serializers.CharField()
    emailSuggestion = ReadableEmailField(
        source="email_suggestion",
        required=False,
        help_text="The email that was probably meant, when its domain looks mistyped.",
    )


class AcceptedSerializer(ResponseSerializer):
    """A request that has not ended yet, with its ticket to follow."""

    jobId = serializers.UUIDField(source="ticket_id")
    ticketId = serializers.UUIDField(source="ticket_id")
    websocketId = serializers.UUIDField(source="ticket_id")
    websocketUrl = serializers.CharField(source="websocket_url")
    message = serializers.CharField()
    estimated_time = serializers.IntegerField(source="wait", help_text="Seconds.")
    estimatedTime = serializers.IntegerField(source="wait", help_text="The same.")
    position = serializers.IntegerField(required=False, help_text="Place in line, past a limit.")


class EndedSerializer(ResponseSerializer):
    """A request that has ended with a place."""

    data = PlaceDataSerializer()  # type: ignore[assignment]
    message = serializers.CharField(required=False)
    isExisting = serializers.BooleanField(source="is_existing", required=False)


class StateSerializer(ResponseSerializer):
    """The present state of a ticket."""

    state = serializers.ChoiceField([state.value for state in TicketState])
    data = TicketDataSerializer(allow_null=True)  # type: ignore[assignment]
