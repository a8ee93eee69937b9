"""What goes into the emails that accounts send, gathered when they are sent."""

from django.conf import settings
from django.urls import reverse

from notifications.kinds import EmailContent, email_kind

from .models import LoginCode, User


@email_kind("welcome")
def welcome(cause: str) -> EmailContent | None:
    account = User.objects.filter(pk=cause.removeprefix("account:")).first()
    if account is None:
        return None
    return EmailContent(
        {
            "first_name": account.first_name,
            "promo_url": settings.PUBLIC_URL + reverse("promo:events"),
        }
    )


@email_kind("login_code")
def login_code(cause: str) -> EmailContent | None:
    codes = LoginCode.objects.usable().select_related("account", "claim")
    code = codes.filter(pk=cause.removeprefix("login_code:")).first()
    if code is None:
        return None
    return EmailContent(
        {
            "first_name": (code.claim or code.account).first_name,
            "code": code.digits(),
            "minutes": settings.LOGIN_CODE_AGE // 60,
        }
    )
