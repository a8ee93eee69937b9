"""Sessions in signed cookies: signing in and out, and when a session is valid."""

import secrets
from collections.abc import Mapping, MutableMapping
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
from snap.request_values import RequestValue

BROWSER_KEY = "browser"
# The id of a browser in which staff have signed in with the right password.
STAFF_BROWSER_KEY = "staff_browser"
# Hashes of the phones whose accounts have signed in in this browser.
OWN_PHONES_KEY = "own_phones"
MAX_OWN_PHONES = 3
# The tickets that this browser was given in an emergency. Signing out removes them.
TICKETS_KEY = "tickets"
# Keys of the cookie that describe the browser, and stay when a session ends.
BROWSER_DATA_KEYS = (BROWSER_KEY, STAFF_BROWSER_KEY, OWN_PHONES_KEY)
# The id of one session. Signing out writes it to `User.ended_sessions`.
SESSION_ID_KEY = "sid"
# The phone that the session is signed in with.
ACCOUNT_PHONE_KEY = "account_phone"
BACKEND = "accounts.backends.CodeBackend"

# The account for which `account_of` has checked the session of a request.
_checked_account: RequestValue[User] = RequestValue("checked_account")


def remember_own_phone(request: HttpRequest, phone: str) -> None:
    """Remember that an account with this phone has signed in here, by a hash of the phone."""
    hashed = hash_personal(phone)
    known = list(request.session.get(OWN_PHONES_KEY, []))
    if hashed in known:
        known.remove(hashed)
    request.session[OWN_PHONES_KEY] = [*known, hashed][-MAX_OWN_PHONES:]


def is_own_phone(request: HttpRequest, phone: str) -> bool:
    """Return whether an account with this phone has signed in here, even if it has signed out."""
    known: list[str] = request.session.get(OWN_PHONES_KEY, [])
    return bool(known) and hash_personal(phone) in known


def ensure_browser_id(request: HttpRequest) -> str:
    """Return this browser's random id. The first call creates it."""
    if BROWSER_KEY not in request.session:
        request.session[BROWSER_KEY] = secrets.token_hex(16)
    browser: str = request.session[BROWSER_KEY]
    return browser


def staff_browser(request: HttpRequest) -> str:
    """Return `browser <id>` if staff have signed in here with the right password before, or ""."""
    browser = request.session.get(BROWSER_KEY)
    if not browser or request.session.get(STAFF_BROWSER_KEY) != browser:
        return ""
    return f"browser {browser}"


def browser_data_of(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a session that describes the browser and stays when the session ends."""
    return {key: session[key] for key in BROWSER_DATA_KEYS if key in session}


def sign_in(request: HttpRequest, account: User) -> None:
    """Start a session for the account, with a new session id and CSRF token.

    The browser's data and emergency tickets are copied, because Django empties the session when
    another account was signed in. That account's session ends as if it had signed out: the browser
    may belong to another person.
    """
    browser = ensure_browser_id(request)
    replaced = account_of(request)
    if replaced is not None and replaced.pk != account.pk:
        replaced.end_session(request.session.get(SESSION_ID_KEY, ""), browser=browser)
    kept = browser_data_of(request.session)
    if tickets := request.session.get(TICKETS_KEY):
        kept[TICKETS_KEY] = tickets
    login(request, account, backend=BACKEND)
    ensure_session_id(request.session)
    request.session.update(kept)
    request.session[ACCOUNT_PHONE_KEY] = account.phone
    remember_own_phone(request, account.phone or "")


def ensure_session_id(session: MutableMapping[str, Any]) -> None:
    """Give the session an id if it has none. Signing in again as the same account keeps the id."""
    session.setdefault(SESSION_ID_KEY, secrets.token_hex(8))


def end_session(request: HttpRequest, account: User | None) -> None:
    """Sign this browser out, and end every copy of its session.

    `account` is the session's account. Without it, while the database is away, only this browser is
    signed out.
    """
    if account is not None:
        session_id = request.session.get(SESSION_ID_KEY, "")
        account.end_session(session_id, browser=request.session.get(BROWSER_KEY, ""))
    _sign_browser_out(request)


def account_phone(request: HttpRequest) -> str:
    """Return the phone that the account had when it signed in, or "". No query."""
    if SESSION_KEY not in request.session:
        return ""
    phone: str = request.session.get(ACCOUNT_PHONE_KEY) or ""
    return phone


@dataclass(frozen=True)
class RememberedAccount:
    """The account in a signed session cookie, while the database cannot confirm it."""

    pk: int
    session_hash: str = ""
    session_id: str = ""
    is_authenticated: bool = True
    is_active: bool = True
    is_staff: bool = False


def is_session_of(session: Mapping[str, Any], account: User) -> bool:
    """Return whether a session is a valid one of the account, which was read from the database."""
    if str(session.get(SESSION_KEY)) != str(account.pk) or not account.is_active:
        return False
    if session.get(SESSION_ID_KEY) in account.ended_sessions:
        return False
    given = session.get(HASH_SESSION_KEY) or ""
    valid_hashes = [account.get_session_auth_hash(), *account.get_session_auth_fallback_hash()]
    return any(constant_time_compare(given, valid) for valid in valid_hashes)


def account_of(request: HttpRequest) -> User | None:
    """Return the signed-in account, or None. One query, at most once a request.

    `request.user` is a lazy proxy, which makes each query and template that uses it slower: a
    request for a place by a tenth. This is the account itself.
    """
    names_account = SESSION_KEY in request.session
    browser_data = browser_data_of(request.session)
    user = get_user(request)
    if isinstance(user, User):
        if _checked_account.get(request) is user:
            return user  # The check takes 8 µs, so it runs once a request.
        if is_session_of(request.session, user):
            _checked_account.set(request, user)
            return user
    if names_account:
        _sign_browser_out(request, browser_data)
    return None


class AccountMiddleware(AuthenticationMiddleware):
    """Sets `request.user` to a lazy proxy for the result of `account_of`."""

    def process_request(self, request: HttpRequest) -> None:
        user = SimpleLazyObject(lambda: account_of(request) or AnonymousUser())
        request.user = user  # type: ignore[assignment]


def remembered_account(session: Mapping[str, Any]) -> RememberedAccount | None:
    """Return the account in the signed session cookie, or None. No query."""
    account_id = session.get(SESSION_KEY)
    if not account_id:
        return None
    return RememberedAccount(
        int(account_id),
        session.get(HASH_SESSION_KEY, ""),
        session.get(SESSION_ID_KEY, ""),
    )


def _sign_browser_out(request: HttpRequest, browser_data: dict[str, Any] | None = None) -> None:
    """Empty the session, except for the data about the browser."""
    browser_data = browser_data or browser_data_of(request.session)
    request.session.flush()
    request.session.update(browser_data)
    request.user = request._cached_user = AnonymousUser()  # type: ignore[attr-defined]
