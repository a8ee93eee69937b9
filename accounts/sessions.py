"""Who is on the other end of a request: sessions in signed cookies."""

import secrets

from django.contrib.auth import login
from django.http import HttpRequest

from .models import User

BROWSER_KEY = "browser"
BACKEND = "django.contrib.auth.backends.ModelBackend"


def browser_of(request: HttpRequest) -> str:
    """Return this browser's own random id, giving it one the first time."""
    if BROWSER_KEY not in request.session:
        request.session[BROWSER_KEY] = secrets.token_hex(16)
    browser: str = request.session[BROWSER_KEY]
    return browser


def sign_in(request: HttpRequest, account: User) -> None:
    """Start a session for the account, under a new session and CSRF token."""
    login(request, account, backend=BACKEND)


def account_of(request: HttpRequest) -> User | None:
    """Return the signed-in account, or None. One query, at most once a request."""
    user = request.user
    return user if isinstance(user, User) else None
