"""Authentication of the JSON API by the session cookie."""

from django.http import HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from accounts.models import User
from accounts.sessions import RememberedAccount, account_of
from snap.api_errors import CSRF_TEXT


class SessionCookieAuthentication(BaseAuthentication):
    """The session of the pages. Every unsafe call needs its CSRF token, signed in or not."""

    def authenticate(self, request: Request) -> tuple[User | RememberedAccount, None] | None:
        check_csrf(request)
        account = self.find_account(request._request)
        if account is None:
            return None
        return account, None

    def find_account(self, request: HttpRequest) -> User | RememberedAccount | None:
        return account_of(request)

    def authenticate_header(self, request: Request) -> str:
        return "Session"


class SignedSessionAuthentication(SessionCookieAuthentication):
    """The session by its signature alone, while the database cannot confirm it."""

    def find_account(self, request: HttpRequest) -> RememberedAccount | None:
        # `emergency_fallback` has set it.
        if isinstance(request.user, RememberedAccount):
            return request.user
        return None


def check_csrf(request: Request) -> None:
    """Raise PermissionDenied `csrf` for an unsafe call without a valid CSRF token."""
    check = CSRFCheck(_no_view)
    check.process_request(request._request)
    if check.process_view(request._request, _no_view, (), {}):
        raise exceptions.PermissionDenied(CSRF_TEXT, code="csrf")


def _no_view(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError
