"""Who is on the other end of a request: sessions in signed cookies."""

import secrets
from dataclasses import dataclass

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, login
from django.contrib.auth.middleware import get_user
from django.http import HttpRequest

from .models import User

BROWSER_KEY = "browser"
# The phone somebody is about to prove or register, and the one that the session is signed in with.
PHONE_KEY = "phone"
ACCOUNT_PHONE_KEY = "account_phone"
BACKEND = "accounts.backends.CodeBackend"


def browser_of(request: HttpRequest) -> str:
    """Return this browser's own random id, giving it one the first time."""
    if BROWSER_KEY not in request.session:
        request.session[BROWSER_KEY] = secrets.token_hex(16)
    browser: str = request.session[BROWSER_KEY]
    return browser


def sign_in(request: HttpRequest, account: User) -> None:
    """Start a session for the account, under a new session and CSRF token."""
    login(request, account, backend=BACKEND)
    request.session[ACCOUNT_PHONE_KEY] = account.phone


def account_phone(request: HttpRequest) -> str:
    """Return the signed-in account's phone as it was then, without asking the database, or ""."""
    phone: str = request.session.get(ACCOUNT_PHONE_KEY) or ""
    return phone if SESSION_KEY in request.session else ""


@dataclass(frozen=True)
class RememberedAccount:
    """Who a session says it is, by its signature alone, while the database cannot confirm it."""

    pk: int
    session_hash: str = ""
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


def remembered_account(request: HttpRequest) -> RememberedAccount | None:
    """Return whom the session's signature names, without asking the database."""
    account_id = request.session.get(SESSION_KEY)
    if not account_id:
        return None
    return RememberedAccount(int(account_id), request.session.get(HASH_SESSION_KEY, ""))
