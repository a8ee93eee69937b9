"""The policies of routes that are about a phone, and how such a request's phone is read."""

import json

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError

from accounts.phones import PhoneError, parse_phone
from accounts.sessions import account_phone
from snap.policies import Policy

from .steps import step_phone


def phone_sent(request: HttpRequest) -> str:
    """Return the phone in a form or a JSON body in its one form, "" when there is none."""
    country: str | None = None
    try:
        if request.content_type == "application/json":
            body = json.loads(request.body)
            sent = body.get("phone") if isinstance(body, dict) else None
        elif request.path.startswith("/api/"):
            return ""  # A call takes nothing but JSON, and refuses the rest itself.
        else:
            sent, country = request.POST.get("phone"), request.POST.get("country") or None
        return parse_phone(sent, country) if isinstance(sent, str) else ""
    except (PhoneError, ValueError, RecursionError, RequestDataTooBig, UnreadablePostError):
        return ""


PHONE_CHECK = Policy("phone_check", phone=phone_sent)
API_PHONE_CHECK = Policy("phone_check", phone=phone_sent)
# Anything that sends an email. 409 of a call tells whether a phone is taken.
API_LOGIN = Policy("emails", phone=phone_sent, forgives=frozenset())
CODE = Policy("emails", phone=step_phone)
REGISTER = Policy("emails", phone=step_phone)
# A code for the account that is signed in: about its own phone.
PROVE = Policy("emails", phone=account_phone)
