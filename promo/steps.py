"""The steps of a guest's way to a place, and the phone that a step is about.

A step's form carries its phone in a signed field, bound to the event and the browser. A step's
address carries a random key instead, which the browser's session maps to the phone. The session
alone says nothing about a form: two tabs share it.
"""

import secrets
from enum import StrEnum

from django.core.exceptions import RequestDataTooBig
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.urls import Resolver404, resolve
from django.utils.http import urlencode

from accounts.sessions import BROWSER_KEY, ensure_browser_id

SIGNED_FIELD = "step"
KEY_FIELD = "s"
# Seconds for which a form that was shown can be sent.
STEP_AGE = 2 * 60 * 60
SESSION_KEY = "steps"
# Phones and events that one browser's session remembers; the oldest is forgotten first.
MAX_REMEMBERED = 8


class Step(StrEnum):
    """Every step: its name, which is also the last part of its address."""

    PHONE = "phone"
    CODE = "code"
    REGISTER = "register"
    CLAIM = "claim"
    PROVE = "prove"
    REQUEST = "request"


# The steps that show a form, and those of them that are about a phone given before.
FORMS = frozenset(Step) - {Step.REQUEST}
ABOUT_A_PHONE = FORMS - {Step.PHONE}


def step_at(path: str) -> Step | None:
    """Return the step that a path leads to, None for every other page."""
    try:
        match = resolve(path)
    except Resolver404:
        return None
    is_step = match.namespaces == ["promo"] and match.url_name in list(Step)
    return Step(str(match.url_name)) if is_step else None


def step_phone(request: HttpRequest) -> str:
    """Return the phone that this request of a step is about, "" without a valid one.

    A form says it in its signed field; a page that is opened says it by the key in its address.
    """
    phone: str | None = getattr(request, "_step_phone", None)
    if phone is None:
        is_form = request.method == "POST"
        phone = _signed_phone(request) if is_form else _remembered_phone(request)
        request._step_phone = phone  # type: ignore[attr-defined]
    return phone


def sign_phone(request: HttpRequest, event: str, phone: str) -> str:
    """Return what a form carries: good for this browser and the event with this slug."""
    return _signer(event, ensure_browser_id(request)).sign(phone)


def remember_phone(request: HttpRequest, event: str, phone: str) -> str:
    """Return the query with which a step's address leads to this phone, in this browser only."""
    wanted = [phone, event]
    remembered: dict[str, list[str]] = request.session.get(SESSION_KEY, {})
    key = next((key for key, value in remembered.items() if value == wanted), "")
    if not key:
        key = secrets.token_urlsafe(6)
        latest = list(remembered.items())[-MAX_REMEMBERED + 1 :]
        request.session[SESSION_KEY] = {**dict(latest), key: wanted}
    return "?" + urlencode({KEY_FIELD: key})


def _signed_phone(request: HttpRequest) -> str:
    browser = request.session.get(BROWSER_KEY)
    try:
        signed = request.POST.get(SIGNED_FIELD, "")
        if browser and signed:
            return _signer(_event_of(request), browser).unsign(signed, max_age=STEP_AGE)
    except (BadSignature, RequestDataTooBig, UnreadablePostError):
        pass
    return ""


def _remembered_phone(request: HttpRequest) -> str:
    key = request.GET.get(KEY_FIELD, "")
    phone, event = request.session.get(SESSION_KEY, {}).get(key, ("", ""))
    return str(phone) if event == _event_of(request) else ""


def _event_of(request: HttpRequest) -> str:
    match = request.resolver_match
    return str(match.kwargs.get("event", "")) if match else ""


def _signer(event: str, browser: str) -> TimestampSigner:
    return TimestampSigner(salt=f"promo.steps {event} {browser}")
