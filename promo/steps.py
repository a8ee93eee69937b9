"""The steps by which a guest requests a place, and the phone that each step is about.

The form of a step carries its phone in a signed field, bound to the event and the browser. The URL
of a step carries a random key, which the browser's session maps to the phone. The session alone is
not enough, because two tabs share it.
"""

import secrets
from enum import StrEnum

from django.core.exceptions import RequestDataTooBig
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.urls import Resolver404, resolve, reverse
from django.utils.http import urlencode

from accounts.sessions import BROWSER_KEY, ensure_browser_id
from snap.request_values import RequestValue

SIGNED_FIELD = "step"
KEY_FIELD = "s"
# Seconds for which a form can be sent after it was shown.
STEP_AGE = 2 * 60 * 60
STEPS_KEY = "steps"
# The most pairs of phone and event in one session. The oldest is dropped first.
MAX_REMEMBERED = 8

_step_phone: RequestValue[str] = RequestValue("step_phone")


class Step(StrEnum):
    """The steps. The value is the name of the URL and its last segment."""

    PHONE = "phone"
    CODE = "code"
    REGISTER = "register"
    CLAIM = "claim"
    PROVE = "prove"
    EMAIL = "email"
    REQUEST = "request"


# The steps that show a form, and those of them that need the phone of an earlier step.
FORM_STEPS = frozenset(Step) - {Step.REQUEST}
PHONE_STEPS = FORM_STEPS - {Step.PHONE}


def step_from_path(path: str) -> Step | None:
    """Return the step at a path, None when another page or no page is there."""
    try:
        match = resolve(path)
    except Resolver404:
        return None
    if match.namespaces != ["promo"] or match.url_name not in list(Step):
        return None
    return Step(str(match.url_name))


def event_page_of(path: str) -> str:
    """Return the page of the event, with its promoter, that a path is below; "" for others."""
    try:
        match = resolve(path)
    except Resolver404:
        return ""
    if match.namespaces != ["promo"] or "event" not in match.kwargs:
        return ""
    args = [match.kwargs["event"]]
    if promoter := match.kwargs.get("promoter"):
        args.append(promoter)
    return reverse("promo:event", args=args)


def step_phone(request: HttpRequest) -> str:
    """Return the phone (E.164) that a request of a step is about, "" without a valid one.

    It is in the signed field of a form, and behind the key in the URL of a page.
    """
    phone = _step_phone.get(request)
    if phone is None:
        phone = _read_phone(request)
        _step_phone.set(request, phone)
    return phone


def _read_phone(request: HttpRequest) -> str:
    if request.method == "POST":
        return _signed_phone(request)
    return _remembered_phone(request)


def sign_phone(request: HttpRequest, event: str, phone: str) -> str:
    """Return the value of the signed field, for this browser and the event with this slug."""
    return _signer(event, ensure_browser_id(request)).sign(phone)


def remember_phone(request: HttpRequest, event: str, phone: str) -> str:
    """Return the query with the key of this phone for the URL of a step. Stores it in the session.

    The key is valid in this browser only, for the event with this slug.
    """
    remembered: dict[str, list[str]] = request.session.get(STEPS_KEY, {})
    phone_at_event = [phone, event]
    for key, value in remembered.items():
        if value == phone_at_event:
            return _query(key)
    key = secrets.token_urlsafe(6)
    latest = list(remembered.items())[-MAX_REMEMBERED + 1 :]
    request.session[STEPS_KEY] = {**dict(latest), key: phone_at_event}
    return _query(key)


def _query(key: str) -> str:
    return "?" + urlencode({KEY_FIELD: key})


def _signed_phone(request: HttpRequest) -> str:
    browser = request.session.get(BROWSER_KEY)
    try:
        signed = request.POST.get(SIGNED_FIELD, "")
        if browser and signed:
            return _signer(_event_slug(request), browser).unsign(signed, max_age=STEP_AGE)
    except (BadSignature, RequestDataTooBig, UnreadablePostError):
        pass
    return ""


def _remembered_phone(request: HttpRequest) -> str:
    key = request.GET.get(KEY_FIELD, "")
    phone, event = request.session.get(STEPS_KEY, {}).get(key, ("", ""))
    if event != _event_slug(request):
        return ""
    return str(phone)


def _event_slug(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is None:
        return ""
    return str(match.kwargs.get("event", ""))


def _signer(event: str, browser: str) -> TimestampSigner:
    return TimestampSigner(salt=f"promo.steps {event} {browser}")
