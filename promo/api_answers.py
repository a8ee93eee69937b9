"""How the JSON API answers: one shape for all that goes well, one place for all that does not."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import AccountError
from accounts.models import User
from accounts.sessions import RememberedAccount, account_of
from guests.errors import GuestError
from guests.models import Event
from guests.tickets import Ticket
from snap.errors import error_body

from .answers import websocket_url
from .errors import refusal_of, refusal_text
from .reading import TooLarge, read_json
from .too_many import challenge_page


class BoundedJSONParser(JSONParser):
    """The JSON body as the limits read it too: of a bounded size and depth, in UTF-8 only."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return read_json(parser_context["request"]._request)


class CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: Any, reason: str) -> Any:
        return reason


class Session(BaseAuthentication):
    """The page's own session; every unsafe call must carry its CSRF token, signed in or not."""

    def authenticate(self, request: Request) -> tuple[User | RememberedAccount, None] | None:
        check_csrf(request)
        account = self.find(request._request)
        return (account, None) if account else None

    def find(self, request: HttpRequest) -> User | RememberedAccount | None:
        return account_of(request)

    def authenticate_header(self, request: Request) -> str:
        return "Session"


class SignedSession(Session):
    """The same, by the session's signature alone, while the database cannot confirm it."""

    def find(self, request: HttpRequest) -> User | RememberedAccount | None:
        # `or_in_emergency` has found it.
        return request.user if isinstance(request.user, RememberedAccount) else None


def check_csrf(request: Request) -> None:
    """Raise PermissionDenied for an unsafe call without a valid CSRF token."""
    check = CsrfCheck(_no_view)
    check.process_request(request._request)
    if reason := check.process_view(request._request, _no_view, (), {}):
        raise exceptions.PermissionDenied(f"CSRF: {reason}", code="csrf")


def _no_view(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError


def listed(events: Iterable[Event]) -> Response:
    """Return what a script needs of each event."""
    described = [
        {
            "id": event.pk,
            "slug": event.slug,
            "title": event.title,
            "venue": event.venue,
            "startsAt": event.local_start.isoformat(),
            "endsAt": event.local_end.isoformat(),
            "timeZone": event.time_zone,
            "listState": event.list_state(),
            "url": reverse("promo:event", args=[event.slug]),
        }
        for event in events
    ]
    return Response({"success": True, "events": described})


def accepted(request: Request, ticket: Ticket, wait: int) -> Response:
    """Return the 202 of an accepted request, with the time it will take in seconds."""
    line = {"position": ticket.position} if ticket.position else {}
    return Response(
        {
            "success": True,
            "jobId": ticket.ticket_id,
            "ticketId": ticket.ticket_id,
            "websocketId": ticket.ticket_id,
            "websocketUrl": websocket_url(
                "guest-updates", ticket.ticket_id, request._request.get_host()
            ),
            "message": _("Your request is in. The QR code follows by itself."),
            "estimated_time": wait,
            "estimatedTime": wait,
            **line,
        },
        status=202,
    )


def ended(ticket: Ticket, *, is_existing: bool) -> Response:
    """Return the answer to a create call whose request has ended."""
    if ticket.state not in {"created", "waitlisted"}:
        code = ticket.refusal or ticket.state
        return refusal(GuestError(code))
    body: dict[str, Any] = {"success": True, "data": data_of(ticket)}
    if is_existing:
        body |= {"message": _("You are on the list already."), "isExisting": True}
    return Response(body)


def state_of(ticket: Ticket) -> Response:
    """Return a ticket's present state."""
    return Response({"success": True, "state": ticket.state, "data": data_of(ticket)})


def queued() -> Response:
    """Return the state of a ticket that the journal has: nothing is known of it but that."""
    return Response({"success": True, "state": "queued", "data": None})


def data_of(ticket: Ticket) -> dict[str, Any] | None:
    """Return what there is to say about a request: its end, or its place in line; else None."""
    match ticket.state:
        case "created":
            return {"id": ticket.guest_id, "qr_code_url": ticket.qr_code_url}
        case "processing" if ticket.position:
            return {"position": ticket.position}
        case "waitlisted":
            return {"id": ticket.guest_id, "position": ticket.position}
        case "refused" | "cancelled" | "unproven":
            code = ticket.refusal or ticket.state
            return {"code": code, "error": refusal_text(code)}
        case _:
            return None


def refusal(error: GuestError | AccountError) -> Response:
    """Return the answer to a refusal: its stable code, and a sentence."""
    known = refusal_of(error.code)
    wait = getattr(error, "retry_after", 0)
    fields = {known.field: [str(known.text)]} if known.field else None
    body = error_body(
        known.status, code=error.code, text=known.text, fields=fields, retry_after=wait
    )
    if getattr(error, "may_solve", False):
        body["challengeUrl"] = challenge_page("code")
    headers = {"Retry-After": str(wait)} if wait else None
    return Response(body, status=known.status, headers=headers)


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception into the shape of spec section 5; None lets the rest be a real error."""
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
    answer = Response(body, status=error.status_code)
    if isinstance(error, exceptions.NotAuthenticated):
        answer["WWW-Authenticate"] = "Session"
    return answer


def _sentence(error: exceptions.APIException) -> str:
    if isinstance(error, exceptions.ValidationError):
        return _("Some fields are wrong.")
    return str(error.detail)


def _fields(error: exceptions.APIException) -> dict[str, Any] | None:
    if isinstance(error, exceptions.ValidationError):
        return error.detail if isinstance(error.detail, dict) else {"body": error.detail}
    return {"body": [str(error.detail)]} if error.status_code == 400 else None
