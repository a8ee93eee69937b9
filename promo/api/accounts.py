"""JSON API calls about accounts: check a phone, sign in with a code, register.

docs/reference.md, JSON API, is their contract.

While the database is away all of these answer 503: nobody can be looked up, and a registration goes
to the journal only together with the request for a place that it was made for.
"""

from functools import partial
from typing import Any

from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.exceptions import AccountError
from accounts.models import User
from accounts.phone_checks import check_phone as look_up
from accounts.services import find_account, send_login_code
from accounts.services import register as register_account
from accounts.sessions import browser_of, sign_in
from guests.claims.proof import prove_by_code
from promo.api import schema as api_schema
from promo.api.serializers import LoginSerializer, PhoneSerializer, RegisterSerializer
from promo.emergency import emergency_fallback
from promo.limits.challenge import send_or_spend_pass
from promo.limits.policies import API_LOGIN, API_PHONE_CHECK
from snap.addresses import client_address
from snap.error_pages import unavailable
from snap.limits.policy import limited


@limited(write=API_PHONE_CHECK)
@emergency_fallback(unavailable)
@api_schema.check_phone
@api_view(["POST"])
def check_phone(request: Request) -> Response:
    """Say whether a phone has an account; its id only to the account itself."""
    phone = _read(PhoneSerializer, request)["phone"]
    check = look_up(phone)
    own = isinstance(request.user, User) and request.user.phone == phone
    return Response(
        {
            "success": True,
            "exists": check.exists or own,
            "userId": request.user.pk if own else None,
            "source": check.source,
        }
    )


@limited(write=API_LOGIN)
@emergency_fallback(unavailable)
@api_schema.login
@api_view(["POST"])
def login(request: Request) -> Response:
    """Send a code to a phone's account; with that code, sign this browser in."""
    data = _read(LoginSerializer, request)
    browser, address = browser_of(request._request), client_address(request._request)
    if "code" in data:
        account = prove_by_code(
            phone=data["phone"], browser=browser, typed=data["code"], address=address
        )
        sign_in(request._request, account)
        return Response({"success": True, "user": user_data(account)})
    known = find_account(data["phone"])
    if known is None:
        raise AccountError("unknown_phone")
    send = partial(send_login_code, known, browser=browser, address=address)
    sent = send_or_spend_pass(request._request, send)
    return Response(
        {
            "success": True,
            "codeSent": True,
            "channel": sent.channel,
            "retryAfter": settings.LOGIN_CODE_RESEND,
        },
        status=202,
    )


@limited(write=API_LOGIN)
@emergency_fallback(unavailable)
@api_schema.register
@api_view(["POST"])
def register(request: Request) -> Response:
    """Make an account, sign this browser in and queue the welcome email."""
    data = _read(RegisterSerializer, request)
    account = register_account(
        phone=data["phone"],
        first_name=data["firstName"],
        last_name=data["lastName"],
        email=data["email"],
        language=get_language() or "",
        browser=browser_of(request._request),
    )
    sign_in(request._request, account)
    body = {"success": True, "user": user_data(account), "message": _("Welcome to SNAP.")}
    return Response(body, status=201)


def user_data(account: User) -> dict[str, Any]:
    return {
        "id": account.pk,
        "firstName": account.first_name,
        "lastName": account.last_name,
        "phone": account.phone,
        "email": account.email,
    }


def _read(kind: type[PhoneSerializer], request: Request) -> dict[str, Any]:
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data
