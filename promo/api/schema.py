"""What `/api/schema/` says of each call: what it takes, and every answer that it may give."""

from collections.abc import Callable
from threading import Lock
from typing import Any, ClassVar

from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.fields import Field
from rest_framework.request import Request
from rest_framework.response import Response

from promo.api.serializers import (
    IDEMPOTENCY_KEY,
    KEY_HEADER,
    LoginSerializer,
    PhoneSerializer,
    PlaceSerializer,
    RegisterSerializer,
)

Decorator = Callable[[Any], Any]

STATES = ["processing", "queued", "created", "unproven", "waitlisted", "refused", "cancelled"]
STATES += ["failed", "by_email", "registered_elsewhere"]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session's cookie, and beside it the token that every POST repeats from another one."""

    target_class = "promo.api.authentication.Session"
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
        return {"session": [], "csrf": []} if auto_schema.method == "POST" else {"session": []}


# Answers -----------------------------------------------------------------------------------------


def said(name: str, **fields: Field[Any, Any, Any, Any]) -> type[serializers.Serializer[Any]]:
    """Return the serializer of an answer, which has `success` besides."""
    success = serializers.BooleanField()
    return type(name, (serializers.Serializer,), {"success": success, **fields})


def text(**options: Any) -> serializers.CharField:
    return serializers.CharField(**options)


def whole(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(**options)


Failure = said(
    "Failure",
    error=text(help_text="A sentence for people, in their language."),
    code=text(help_text="A word for programs, which stays the same."),
    fields=serializers.DictField(
        child=serializers.ListField(child=text()),
        required=False,
        help_text="With 400, and 409 about a field: what is wrong, by field.",
    ),
    retryAfter=whole(required=False, help_text="With 429 and 503: seconds to wait."),
    challengeUrl=text(
        required=False, help_text="With 429: a page that lets this browser go on at once."
    ),
)


class UserData(serializers.Serializer[Any]):
    id = whole()
    firstName = text()  # noqa: N815 (the contract's)
    lastName = text()  # noqa: N815
    phone = text(help_text="E.164")
    email = text()


class EventData(serializers.Serializer[Any]):
    id = whole(help_text="What `event_id` of a create call takes.")
    slug = text()
    title = text()
    venue = text()
    startsAt = serializers.DateTimeField()  # noqa: N815
    endsAt = serializers.DateTimeField()  # noqa: N815
    timeZone = text()  # noqa: N815
    listState = serializers.ChoiceField(  # noqa: N815
        ["open", "full", "not_open_yet", "closed", "cancelled"]
    )
    url = text()


class PlaceData(serializers.Serializer[Any]):
    """A place on the list has a QR code, one in the waiting list a position."""

    id = whole()
    qr_code_url = text(required=False)
    position = whole(required=False)


class TicketData(serializers.Serializer[Any]):
    """What there is to say about a request: its place, its place in line, or why there is none."""

    id = whole(required=False)
    qr_code_url = text(required=False)
    position = whole(required=False)
    code = text(required=False)
    error = text(required=False)


Events = said("Events", events=EventData(many=True))
PhoneChecked = said(
    "PhoneChecked",
    exists=serializers.BooleanField(),
    userId=whole(allow_null=True, help_text="Null for everybody but the phone's own account."),
    source=serializers.ChoiceField(["cache", "database"]),
)
CodeSent = said(
    "CodeSent",
    codeSent=serializers.BooleanField(),
    channel=serializers.ChoiceField(["email", "sms"]),
    retryAfter=whole(help_text="Seconds until another code may be asked for."),
)
SignedIn = said("SignedIn", user=UserData())
Registered = said("Registered", user=UserData(), message=text())
Accepted = said(
    "Accepted",
    jobId=serializers.UUIDField(),
    ticketId=serializers.UUIDField(),
    websocketId=serializers.UUIDField(),
    websocketUrl=text(),
    message=text(),
    estimated_time=whole(help_text="Seconds."),
    estimatedTime=whole(help_text="The same."),
    position=whole(required=False, help_text="Place in line, past a limit."),
)
Ended = said(
    "Ended",
    data=PlaceData(),
    message=text(required=False),
    isExisting=serializers.BooleanField(required=False),
)
State = said("State", state=serializers.ChoiceField(STATES), data=TicketData(allow_null=True))

# Headers -----------------------------------------------------------------------------------------


def header(name: str, statuses: list[int], kind: type, meaning: str) -> OpenApiParameter:
    return OpenApiParameter(name, kind, "header", description=meaning, response=statuses)


def limits(statuses: list[int]) -> list[OpenApiParameter]:
    meanings = {
        "RateLimit": (str, "What is left of each limit: `r` requests, `t` seconds."),
        "RateLimit-Policy": (str, "Each limit: `q` requests in `w` seconds."),
        "RateLimit-Limit": (int, "The tightest limit."),
        "RateLimit-Remaining": (int, "What is left of it."),
        "RateLimit-Reset": (int, "Seconds until there is more."),
    }
    return [header(name, statuses, kind, meaning) for name, (kind, meaning) in meanings.items()]


KEY_PARAMETER = OpenApiParameter(
    KEY_HEADER,
    {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
    OpenApiParameter.HEADER,
    description=(
        "The same key brings the same request back, however it ended."
        " 1 to 64 characters, each a visible one of ASCII."
    ),
)

# Calls -------------------------------------------------------------------------------------------

READ = [406, 429, 503]
WRITE = [400, 403, 406, 413, 415, 429, 503]
FAILURES = {
    400: "The body is no JSON, or a field is wrong: `fields` says which.",
    401: "Nobody is signed in (`not_signed_in`).",
    403: "The token is missing (`csrf`), the body names somebody else (`not_yours`), or `refused`.",
    404: "There is no such thing, or it is somebody else's.",
    406: "Only JSON is served.",
    409: "The list is not open, full, or the phone or email is taken: `code` says which.",
    413: "The body is too large.",
    415: "Only JSON is taken.",
    429: "Too many: wait for `retryAfter` seconds.",
    503: "Nothing was accepted: try again after `retryAfter` seconds, with the same key.",
}


def call(
    operation: str,
    summary: str,
    answers: dict[int, Any],
    failures: list[int],
    *,
    request: Any = None,
    parameters: list[OpenApiParameter] | None = None,
    tag: str,
) -> Decorator:
    waits = [status for status in failures if status in {429, 503}]
    counted = sorted(set(answers) | set(failures) - {503})
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        request=request,
        responses=answers
        | {status: OpenApiResponse(Failure, FAILURES[status]) for status in failures},
        parameters=[
            *(parameters or []),
            *limits([status for status in counted if status != 503]),
            header("Retry-After", waits, int, "Seconds to wait."),
        ],
    )


events = call("events", "List the events that are not over", {200: Events}, READ, tag="Events")
check_phone = call(
    "checkPhone",
    "Say whether a phone has an account",
    {200: PhoneChecked},
    WRITE,
    request=PhoneSerializer,
    tag="Accounts",
)
login = call(
    "login",
    "Send a code to a phone's account; with that code, sign this browser in",
    {200: SignedIn, 202: CodeSent},
    [*WRITE, 404],
    request=LoginSerializer,
    tag="Accounts",
)
register = call(
    "register",
    "Make an account and sign this browser in",
    {201: Registered},
    [*WRITE, 409],
    request=RegisterSerializer,
    tag="Accounts",
)
create = call(
    "create",
    "Ask for a place, and wait up to three seconds for its QR code",
    {200: Ended, 202: Accepted},
    [*WRITE, 401, 404, 409],
    request=PlaceSerializer,
    parameters=[KEY_PARAMETER],
    tag="Guests",
)
create_async = call(
    "createAsync",
    "Ask for a place, and follow the ticket",
    {200: Ended, 202: Accepted},
    [*WRITE, 401, 404, 409],
    request=PlaceSerializer,
    parameters=[KEY_PARAMETER],
    tag="Guests",
)
ticket = call(
    "ticket", "Say how a request stands, to its owner", {200: State}, [*READ, 404], tag="Guests"
)


class SchemaOnce(SchemaGenerator):
    """Makes the schema once for each language, in one thread at a time.

    The package fails when two threads of a new process make their first one together.
    """

    _lock = Lock()
    _made: ClassVar[dict[tuple[str, str | None], Any]] = {}

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        key = (get_language() or "", self.api_version)
        with self._lock:
            if key not in self._made:
                self._made[key] = super().get_schema(request, public)  # type: ignore[no-untyped-call]
            return self._made[key]


class SchemaView(SpectacularAPIView):
    """The schema itself. What a query may ask of it is checked as a body would be."""

    generator_class = SchemaOnce

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        known = {
            "lang": dict(settings.LANGUAGES),
            "version": [settings.SPECTACULAR_SETTINGS["VERSION"]],
        }
        for name, values in known.items():
            if name in request.GET and request.GET[name] not in values:
                raise serializers.ValidationError({name: [_("There is no such one.")]})
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        return response
