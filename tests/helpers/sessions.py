"""The session that signing in leaves in a browser, for clients that did not come that way."""

import secrets
from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from accounts.models import User
from accounts.sessions import ACCOUNT_PHONE_KEY, BACKEND, SESSION_ID_KEY

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


def session_of(account: User) -> str:
    """Return the value of the session cookie of a browser in which the account is signed in."""
    session = SessionStore()
    session[SESSION_KEY] = str(account.pk)
    session[BACKEND_SESSION_KEY] = BACKEND
    session[HASH_SESSION_KEY] = account.get_session_auth_hash()
    session[SESSION_ID_KEY] = secrets.token_hex(8)
    session[ACCOUNT_PHONE_KEY] = account.phone
    session.save()
    return str(session.session_key)


def cookie_of(account: User) -> str:
    """Return the same as a Cookie header."""
    return f"{settings.SESSION_COOKIE_NAME}={session_of(account)}"
