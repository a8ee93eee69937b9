"""JSON API calls about accounts: check a phone, sign in with a code, register.

Their contract is docs/reference.md, JSON API.

While the database is away they return 503: accounts cannot be looked up, and the journal takes
registrations only with a request for a place.
"""

from functools import partial

from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import login_codes, phone_checks, services
from accounts.exceptions import AccountError
from accounts.mailboxes import likely_email
from accounts.models import User
from accounts.sessions import ensure_browser_id, sign_in
from guests.claims.proof import prove_by_code
from promo.api import schema
from promo.api.serializers import (
    CodeSentSerializer,
    LoginSerializer,
    PhoneCheckedSerializer,
    PhoneSerializer,
    RegisteredSerializer,
    RegisterSerializer,
    SignedInSerializer,
    validate_body,
)
from promo.emergency import needs_database
from promo.limits.challenge import send_or_spend_exemption
from promo.limits.policies import API_LOGIN, API_PHONE_CHECK
from snap.addresses import client_address
from snap.limits.policy import limited


@limited(write=API_PHONE_CHECK)
@needs_database
@schema.check_phone
@api_view(["POST"])
def check_phone(request: Request) -> Response:
    """Return whether a phone has an account. Only the account itself gets its id."""
    phone = validate_body(PhoneSerializer, request)["phone"]
    check = phone_checks.check_phone(phone)
    exists, user_id = check.exists, None
    if isinstance(request.user, User) and request.user.phone == phone:
        exists, user_id = True, request.user.pk
    return Response(
        PhoneCheckedSerializer.render(exists=exists, userId=user_id, source=check.source)
    )


@limited(write=API_LOGIN)
@needs_database
@schema.login
@api_view(["POST"])
def login(request: Request) -> Response:
    """Send a code to a phone's account. With that code, sign this browser in."""
    data = validate_body(LoginSerializer, request)
    browser, address = ensure_browser_id(request._request), client_address(request._request)
    if "code" in data:
        account = prove_by_code(
            phone=data["phone"], browser=browser, typed=data["code"], address=address
        )
        sign_in(request._request, account)
        return Response(SignedInSerializer.render(user=account))
    known = services.find_account(data["phone"])
    if known is None:
        raise AccountError("unknown_phone")
    send = partial(
        login_codes.send_login_code,
        known,
        browser=browser,
        address=address,
        page=reverse("promo:events"),
    )
    code = send_or_spend_exemption(request._request, send)
    body = CodeSentSerializer.render(
        codeSent=True, channel=code.channel, retryAfter=settings.LOGIN_CODE_RESEND
    )
    return Response(body, status=202)


@limited(write=API_LOGIN)
@needs_database
@schema.register
@api_view(["POST"])
def register(request: Request) -> Response:
    """Create an account, sign this browser in and queue the welcome email."""
    data = validate_body(RegisterSerializer, request)
    account = services.register(
        phone=data["phone"],
        first_name=data["firstName"],
        last_name=data["lastName"],
        email=data["email"],
        language=get_language() or "",
        browser=ensure_browser_id(request._request),
    )
    sign_in(request._request, account)
    fields = {"user": account, "message": _("Welcome to SNAP.")}
    if suggestion := likely_email(account.email):
        fields["email_suggestion"] = suggestion
    body = RegisteredSerializer.render(**fields)
    return Response(body, status=201)
