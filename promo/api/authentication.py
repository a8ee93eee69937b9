"""Authentication of the JSON API by the session cookie."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from accounts.sessions import RememberedAccount, account_of


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
