"""Sessions of signed-in accounts, without the steps that lead there."""

import secrets
from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.test import Client

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
    """Return a Cookie header with which the account is signed in."""
    return f"{settings.SESSION_COOKIE_NAME}={session_of(account)}"


def sign_in(client: Client, account: User) -> None:
    """Sign an account in as a code does, with the phone that sessions keep for outages."""
    client.force_login(account, backend=BACKEND)
    session = client.session
    session[ACCOUNT_PHONE_KEY] = account.phone
    session.save()
    # The key of a signed-cookie session is its content, so it changes with it.
    client.cookies["session"] = session.session_key or ""
