"""Who is on the other end of a request: sessions in signed cookies."""

import secrets
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, login
from django.contrib.auth.middleware import get_user
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from .models import User

BROWSER_KEY = "browser"
# The phone that the session is signed in with.
ACCOUNT_PHONE_KEY = "account_phone"
BACKEND = "accounts.backends.CodeBackend"


def browser_of(request: HttpRequest) -> str:
    """Return this browser's own random id, giving it one the first time."""
    if BROWSER_KEY not in request.session:
        request.session[BROWSER_KEY] = secrets.token_hex(16)
    browser: str = request.session[BROWSER_KEY]
    return browser


def sign_in(request: HttpRequest, account: User) -> None:
    """Start a session for the account, under a new session and CSRF token.

    The browser keeps its id: Django forgets the session when another account was signed in.
    """
    browser = browser_of(request)
    login(request, account, backend=BACKEND)
    request.session[BROWSER_KEY] = browser
    request.session[ACCOUNT_PHONE_KEY] = account.phone


def account_phone(request: HttpRequest) -> str:
    """Return the signed-in account's phone as it was then, without asking the database, or ""."""
    phone: str = request.session.get(ACCOUNT_PHONE_KEY) or ""
    return phone if SESSION_KEY in request.session else ""


@dataclass(frozen=True)
class RememberedAccount:
    """Who a session says it is, by its signature alone, while the database cannot confirm it."""

    pk: int
    is_authenticated: bool = True
    is_active: bool = True
    is_staff: bool = False


def account_of(request: HttpRequest) -> User | None:
    """Return the signed-in account, or None. One query, at most once a request.

    The account itself, not the stand-in that `request.user` is: that one makes every query and
    template which it is given to dearer, a request for a place by a tenth.
    """
    user = get_user(request)
    return user if isinstance(user, User) else None


def session_is_of(session: Any, account: User) -> bool:
    """Say whether an account is signed in with a session, without a query.

    The same checks as Django's `get_user`, for an account that is at hand already.
    """
    if session.get(SESSION_KEY) != str(account.pk) or not account.is_active:
        return False
    given = session.get(HASH_SESSION_KEY, "")
    hashes = [account.get_session_auth_hash(), *account.get_session_auth_fallback_hash()]
    return any(constant_time_compare(given, each) for each in hashes)


def remembered_account(request: HttpRequest) -> RememberedAccount | None:
    """Return whom the session's signature names, without asking the database."""
    account_id = request.session.get(SESSION_KEY)
    return RememberedAccount(int(account_id)) if account_id else None
