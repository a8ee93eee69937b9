"""The OpenAPI schema at `/api/schema/`: the requests, responses and errors of each call."""

from collections.abc import Callable
from threading import Lock
from typing import Any, ClassVar

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer, ValidationError

from guests.refusals import REFUSALS, Refusal, visitor_refusals
from promo.api.errors import PERMISSION_CODES
from promo.api.serializers import (
    IDEMPOTENCY_KEY,
    KEY_HEADER,
    AcceptedSerializer,
    CodeSentSerializer,
    EndedSerializer,
    EventsSerializer,
    LoginSerializer,
    PhoneCheckedSerializer,
    PhoneSerializer,
    PlaceSerializer,
    RegisteredSerializer,
    RegisterSerializer,
    ResponseSerializer,
    SignedInSerializer,
    StateSerializer,
)
from snap.api_errors import CSRF_TEXT, DEFAULT_ERRORS, ErrorCodeField, ErrorSerializer, error_body
from snap.local_cache import on_reset

Decorator = Callable[[Any], Any]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session cookie, and the CSRF token that every POST sends in a header."""

    target_class = "promo.api.authentication.SessionCookieAuthentication"
    name = ["session", "csrf"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME},
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-CSRFToken",
                "description": f"The value of the `{settings.CSRF_COOKIE_NAME}` cookie.",
            },
        ]

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        if auto_schema.method == "POST":
            return {"session": [], "csrf": []}
        return {"session": []}


class ErrorCodeScheme(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """All codes that an error can have."""

    target_class = ErrorCodeField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        codes = set(PERMISSION_CODES)
        for refusal in visitor_refusals():
            codes.add(refusal.code)
        for code, _text in DEFAULT_ERRORS.values():
            codes.add(code)
        return {"type": "string", "enum": sorted(codes)}


# Errors ------------------------------------------------------------------------------------------

Failure = extend_schema_serializer(component_name="Failure")(ErrorSerializer)

READ_ERRORS = [406, 429, 503]
WRITE_ERRORS = [400, 403, 406, 413, 415, 429, 503]
DESCRIPTIONS = {
    400: "The body is not JSON, or a field is invalid: `fields` names it.",
    401: "The request is not signed in (`not_signed_in`).",
    403: "No CSRF token (`csrf`), the body names another account (`not_yours`), or `refused`.",
    404: "It does not exist, or belongs to another account.",
    406: "Only JSON is served.",
    409: "The list is not open or is full, or the phone or email is taken: `code` says which.",
    413: "The body is too large.",
    415: "Only JSON is accepted.",
    429: "Too many: wait for `retryAfter` seconds.",
    503: (
        "Try again after `retryAfter` seconds, with the same key. A POST may have been stored:"
        " `error` says so."
    ),
}
# Seconds in the examples.
EXAMPLE_WAITS = {429: 30, 503: 5}


def error_responses(errors: list[int], refusals: tuple[str, ...]) -> dict[int, OpenApiResponse]:
    """Document the errors of a call, each status with its codes as examples."""
    examples: dict[int, list[OpenApiExample]] = {}
    with translation.override("en"):
        for status in errors:
            examples[status] = [usual_error(status)]
        for code in refusals:
            refusal = REFUSALS[code]
            examples.setdefault(refusal.status, []).append(refusal_error(refusal))
    responses = {}
    for status, bodies in examples.items():
        responses[status] = OpenApiResponse(Failure, DESCRIPTIONS[status], bodies)
    return responses


def usual_error(status: int) -> OpenApiExample:
    if status == 403:
        return error_example(error_body(403, code="csrf", text=CSRF_TEXT))
    return error_example(error_body(status, retry_after=EXAMPLE_WAITS.get(status, 0)))


def refusal_error(refusal: Refusal) -> OpenApiExample:
    body = error_body(
        refusal.status,
        code=refusal.code,
        text=refusal.text,
        fields=refusal.fields,
        retry_after=EXAMPLE_WAITS.get(refusal.status, 0),
    )
    return error_example(body)


def error_example(body: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(body["code"], body, response_only=True)


# Headers -----------------------------------------------------------------------------------------

RATE_LIMIT_HEADERS: dict[str, tuple[type, str]] = {
    "RateLimit": (str, "What is left of each limit: `r` requests, `t` seconds."),
    "RateLimit-Policy": (str, "Each limit: `q` requests in `w` seconds."),
    "RateLimit-Limit": (int, "The tightest limit."),
    "RateLimit-Remaining": (int, "What is left of it."),
    "RateLimit-Reset": (int, "Seconds until there is more."),
}
KEY_PARAMETER = OpenApiParameter(
    KEY_HEADER,
    {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
    OpenApiParameter.HEADER,
    description=(
        "The same key brings the same request back, however it ended."
        " 1 to 64 characters, each a visible one of ASCII."
    ),
)


def response_headers(statuses: set[int]) -> list[OpenApiParameter]:
    """Document the headers of the responses with these statuses."""
    # A 503 can come before the limits are checked.
    limited = sorted(statuses - {503})
    headers = []
    for name, (kind, description) in RATE_LIMIT_HEADERS.items():
        headers.append(response_header(name, limited, kind, description))
    waits = sorted(statuses & EXAMPLE_WAITS.keys())
    headers.append(response_header("Retry-After", waits, int, "Seconds to wait."))
    return headers


def response_header(
    name: str, statuses: list[int], kind: type, description: str
) -> OpenApiParameter:
    return OpenApiParameter(
        name, kind, OpenApiParameter.HEADER, description=description, response=statuses
    )


# Calls -------------------------------------------------------------------------------------------


def call(
    operation: str,
    summary: str,
    responses: dict[int, type[ResponseSerializer]],
    *,
    errors: list[int],
    refusals: tuple[str, ...] = (),
    request: type[Serializer[Any]] | None = None,
    parameters: tuple[OpenApiParameter, ...] = (),
    tag: str,
) -> Decorator:
    """Return the decorator that documents a call.

    `errors`: statuses with their usual codes. `refusals`: codes of `guests.refusals`, which add
    their statuses.
    """
    documented: dict[int, Any] = {**responses, **error_responses(errors, refusals)}
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        request=request,
        responses=documented,
        parameters=[*parameters, *response_headers(set(documented))],
    )


PLACE_REFUSALS = (
    "not_open_yet",
    "closed",
    "event_cancelled",
    "cancelled",
    "given_back",
    "moved_to_event",
    "list_full",
    "refused",
    "phone_on_list",
    "promoter_not_at_event",
    "key_reused",
    "unproven",
    "failed",
)

events = call(
    "events",
    "List the events that are not over",
    {200: EventsSerializer},
    errors=READ_ERRORS,
    tag="Events",
)
check_phone = call(
    "checkPhone",
    "Say whether a phone has an account",
    {200: PhoneCheckedSerializer},
    errors=WRITE_ERRORS,
    request=PhoneSerializer,
    tag="Accounts",
)
login = call(
    "login",
    "Send a code to a phone's account; with that code, sign this browser in",
    {200: SignedInSerializer, 202: CodeSentSerializer},
    errors=WRITE_ERRORS,
    refusals=(
        "unknown_phone",
        "refused",
        "too_many_codes",
        "codes_paused",
        "wrong_code",
        "code_expired",
        "too_many_tries",
        "claim_waits",
    ),
    request=LoginSerializer,
    tag="Accounts",
)
register = call(
    "register",
    "Make an account and sign this browser in",
    {201: RegisteredSerializer},
    errors=WRITE_ERRORS,
    refusals=("phone_taken", "email_taken", "refused"),
    request=RegisterSerializer,
    tag="Accounts",
)


def create_call(operation: str, summary: str) -> Decorator:
    """Return the schema of a call that requests a place."""
    return call(
        operation,
        summary,
        {200: EndedSerializer, 202: AcceptedSerializer},
        errors=[*WRITE_ERRORS, 401, 404],
        refusals=PLACE_REFUSALS,
        request=PlaceSerializer,
        parameters=(KEY_PARAMETER,),
        tag="Guests",
    )


create = create_call("create", "Ask for a place, and wait up to three seconds for its QR code")
create_async = create_call("createAsync", "Ask for a place, and follow the ticket")
ticket = call(
    "ticket",
    "Say how a request stands, to its owner",
    {200: StateSerializer},
    errors=[*READ_ERRORS, 404],
    tag="Guests",
)

# The schema itself -------------------------------------------------------------------------------


class CachedSchemaGenerator(SchemaGenerator):
    """Generates the schema once for each language and version, in one thread at a time.

    drf-spectacular fails when two threads of a new process generate their first schema together.
    """

    _lock = Lock()
    _schemas: ClassVar[dict[tuple[str, str | None], Any]] = {}

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        key = (translation.get_language() or "", self.api_version)
        with self._lock:
            if key not in self._schemas:
                self._schemas[key] = super().get_schema(request, public)  # type: ignore[no-untyped-call]
            return self._schemas[key]

    @classmethod
    def forget(cls) -> None:
        with cls._lock:
            cls._schemas.clear()


on_reset(CachedSchemaGenerator.forget)


class SchemaView(SpectacularAPIView):
    """The schema. Its query parameters are validated like a body: wrong values get 400."""

    generator_class = CachedSchemaGenerator

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        known = {
            "lang": dict(settings.LANGUAGES),
            "version": [settings.SPECTACULAR_SETTINGS["VERSION"]],
        }
        for name, values in known.items():
            if name in request.GET and request.GET[name] not in values:
                raise ValidationError({name: [_("There is no such one.")]})
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        return response
