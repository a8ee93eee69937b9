"""System checks of staff accounts and of the SMS channel, for `manage.py check_setup`."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User
from snap.setup import SETUP

CONSOLE_CHANNEL = "accounts.sms.console"


@register(SETUP, deploy=True)
def check_second_factor(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn that a password alone opens admin."""
    if settings.STAFF_SECOND_FACTOR:
        return []
    return [
        Warning(
            "STAFF_SECOND_FACTOR is off: a password alone opens all data of guests.",
            hint="Set STAFF_SECOND_FACTOR=true. Staff enrol their app at the next sign-in.",
            id="accounts.W101",
        )
    ]


@register(SETUP, deploy=True)
def check_sms(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report the channel for development, whose codes reach no phone."""
    if settings.SMS_BACKEND != CONSOLE_CHANNEL:
        return []
    return [
        Error(
            "SMS_BACKEND is the console of development: codes by SMS reach no phone, and anybody"
            " on this machine can read them.",
            hint="Set SMS_BACKEND to a channel of yours, or remove it: codes then go by email.",
            id="accounts.E102",
        )
    ]


@register(SETUP, deploy=True)
def check_staff(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of staff without an authenticator app, and of an installation without staff."""
    if not databases:
        return []
    staff = set(User.objects.with_powers().filter(is_active=True).values_list("pk", flat=True))
    enrolled = TOTPDevice.objects.filter(user__in=staff, confirmed=True)
    without = len(staff - set(enrolled.values_list("user_id", flat=True)))
    if not staff:
        return [
            Warning(
                "No account can sign in to admin.",
                hint="Run `manage.py createsuperuser`.",
                id="accounts.W103",
            )
        ]
    if not without:
        return []
    return [
        Warning(
            f"Of {len(staff)} staff accounts {without} have no authenticator app: a stolen password"
            " is enough to enrol one.",
            hint="Ask them to sign in and to enrol, or take their rights away in admin.",
            id="accounts.W104",
        )
    ]
