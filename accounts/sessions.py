"""Sessions in signed cookies: who signs in, in which browser, and when a session ends."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, login
from django.contrib.auth.middleware import AuthenticationMiddleware, get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from accounts.suspicious import hash_personal

BROWSER_KEY = "browser"
# The id of a browser in which staff have signed in with the right password.
STAFF_BROWSER_KEY = "staff_browser"
# Hashes of the phones whose accounts have signed in in this browser.
OWN_PHONES_KEY = "own_phones"
MAX_OWN_PHONES = 3
# The tickets that this browser was given in an emergency. They end with signing out.
TICKETS_KEY = "tickets"
# What the browser's cookie keeps when a session ends in it: it tells of the browser.
OF_BROWSER = (BROWSER_KEY, STAFF_BROWSER_KEY, OWN_PHONES_KEY)
# The id of one session. Signing out writes it to `User.ended_sessions`.
SESSION_ID_KEY = "sid"
# The phone that the session is signed in with.
ACCOUNT_PHONE_KEY = "account_phone"
BACKEND = "accounts.backends.CodeBackend"


def remember_own_phone(request: HttpRequest, phone: str) -> None:
    """Remember that an account with this phone has signed in here, by a hash of the phone."""
    hashed = hash_personal(phone)
    known: list[str] = request.session.get(OWN_PHONES_KEY, [])
    request.session[OWN_PHONES_KEY] = [*(x for x in known if x != hashed), hashed][-MAX_OWN_PHONES:]


def is_own_phone(request: HttpRequest, phone: str) -> bool:
    """Say whether an account with this phone has signed in here, also when it has signed out."""
    known: list[str] = request.session.get(OWN_PHONES_KEY, [])
    return bool(known) and hash_personal(phone) in known


def browser_of(request: HttpRequest) -> str:
    """Return this browser's own random id, giving it one the first time."""
    if BROWSER_KEY not in request.session:
        request.session[BROWSER_KEY] = secrets.token_hex(16)
    browser: str = request.session[BROWSER_KEY]
    return browser


def staff_browser(request: HttpRequest) -> str:
    """Return `browser <id>` if staff have signed in here with the right password before, or ""."""
    browser = request.session.get(BROWSER_KEY)
    is_known = browser and request.session.get(STAFF_BROWSER_KEY) == browser
    return f"browser {browser}" if is_known else ""


def kept_of(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stays in the browser's cookie when its session ends: it is of the browser."""
    return {key: session[key] for key in OF_BROWSER if key in session}


def sign_in(request: HttpRequest, account: User) -> None:
    """Start a session for the account, under a new session and CSRF token.

    The browser keeps its id, the tickets that it was given, and whose phones it knows: Django
    forgets the session when another account was signed in. That account's session ends as if it had
    signed out: the browser may be somebody else's phone.
    """
    browser = browser_of(request)
    replaced = account_of(request)
    if replaced is not None and replaced.pk != account.pk:
        replaced.end_session(request.session.get(SESSION_ID_KEY, ""), browser=browser)
    kept = kept_of(request.session)
    if tickets := request.session.get(TICKETS_KEY):
        kept[TICKETS_KEY] = tickets
    login(request, account, backend=BACKEND)
    name_session(request)
    request.session.update(kept)
    request.session[ACCOUNT_PHONE_KEY] = account.phone
    remember_own_phone(request, account.phone or "")


def name_session(request: HttpRequest) -> None:
    """Give the session an id. An account that signs in once more keeps it, and so do its copies."""
    request.session.setdefault(SESSION_ID_KEY, secrets.token_hex(8))


def end_session(request: HttpRequest, account: User | None) -> None:
    """Sign this browser out, and end every copy of its session.

    `account` is the session's account; None if the database cannot say: only the browser is signed
    out then.
    """
    if account is not None:
        account.end_session(
            request.session.get(SESSION_ID_KEY, ""), browser=request.session.get(BROWSER_KEY, "")
        )
    _sign_browser_out(request)


def account_phone(request: HttpRequest) -> str:
    """Return the signed-in account's phone as it was then, without asking the database, or ""."""
    phone: str = request.session.get(ACCOUNT_PHONE_KEY) or ""
    return phone if SESSION_KEY in request.session else ""


@dataclass(frozen=True)
class RememberedAccount:
    """Who a session says it is, by its signature alone, while the database cannot confirm it."""

    pk: int
    session_hash: str = ""
    session_id: str = ""
    is_authenticated: bool = True
    is_active: bool = True
    is_staff: bool = False


def is_session_of(session: Mapping[str, Any], account: User) -> bool:
    """Say whether a session is a live one of the account. `account` is as the database has it."""
    given = session.get(HASH_SESSION_KEY) or ""
    hashes = [account.get_session_auth_hash(), *account.get_session_auth_fallback_hash()]
    return (
        str(session.get(SESSION_KEY)) == str(account.pk)
        and account.is_active
        and any(constant_time_compare(given, valid) for valid in hashes)
        and session.get(SESSION_ID_KEY) not in account.ended_sessions
    )


def account_of(request: HttpRequest) -> User | None:
    """Return the signed-in account, or None. One query, at most once a request.

    The account itself, not the stand-in that `request.user` is: that one makes every query and
    template which it is given to dearer, a request for a place by a tenth.
    """
    claims_one = SESSION_KEY in request.session
    kept = kept_of(request.session)
    user = get_user(request)
    if isinstance(user, User):
        checked: User | None = getattr(request, "_live_account", None)
        if checked is user:
            return user  # Checked before in this request: it costs 8 µs.
        if is_session_of(request.session, user):
            request._live_account = user  # type: ignore[attr-defined]
            return user
    if claims_one:
        _sign_browser_out(request, kept)
    return None


class AccountMiddleware(AuthenticationMiddleware):
    """Sets `request.user` to what `account_of` finds."""

    def process_request(self, request: HttpRequest) -> None:
        user = SimpleLazyObject(lambda: account_of(request) or AnonymousUser())
        request.user = user  # type: ignore[assignment]


def remembered_account(request: HttpRequest) -> RememberedAccount | None:
    """Return whom the session's signature names, without asking the database."""
    account_id = request.session.get(SESSION_KEY)
    if not account_id:
        return None
    return RememberedAccount(
        int(account_id),
        request.session.get(HASH_SESSION_KEY, ""),
        request.session.get(SESSION_ID_KEY, ""),
    )


def _sign_browser_out(request: HttpRequest, kept: dict[str, Any] | None = None) -> None:
    """Empty the session, except for what says which accounts have used this browser."""
    kept = kept or kept_of(request.session)
    request.session.flush()
    request.session.update(kept)
    request.user = request._cached_user = AnonymousUser()  # type: ignore[attr-defined]
