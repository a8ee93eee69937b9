"""Registering, proving who one is with a code, and refusing blocked phones."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from notifications.services import queue_email

from .errors import AccountError
from .models import BlockedPhone, LoginCode, User

log = logging.getLogger(__name__)

CODE_WINDOW = timedelta(minutes=10)


def hash_personal(value: str) -> str:
    """Return a short keyed hash of a phone or address, the same every time, for logs and counts."""
    return salted_hmac("accounts.personal", value, algorithm="sha256").hexdigest()[:32]


def is_blocked(phone: str) -> bool:
    """Say whether a phone (E.164) may not join any list. One query."""
    return BlockedPhone.objects.blocking(phone).exists()


def find_account(phone: str) -> User | None:
    """Return the account with this phone (E.164), or None. One query."""
    return User.objects.filter(phone=phone).first()


@transaction.atomic
def register(*, phone: str, first_name: str, last_name: str, email: str, language: str) -> User:
    """Create an unverified account and queue its welcome email, both or neither.

    Raises AccountError: `phone_taken`, or `refused` for a blocked phone.
    """
    if is_blocked(phone):
        log.warning("registration_refused", extra={"phone_hash": hash_personal(phone)})
        raise AccountError("refused")
    try:
        with transaction.atomic():
            account = User.objects.create_user(
                phone, first_name=first_name, last_name=last_name, email=email, language=language
            )
    except IntegrityError as error:
        raise AccountError("phone_taken") from error
    queue_email("welcome", f"account:{account.pk}", to=email, language=language)
    log.info("account_registered", extra={"account_id": account.pk})
    return account


@transaction.atomic
def send_login_code(account: User, *, browser: str, address: str) -> LoginCode:
    """Queue a fresh code for this browser to the account's email; older codes no longer count.

    `browser` is the browser session's own random id, `address` the client's address. Raises
    AccountError `too_many_codes` past LOGIN_CODES_PER_PHONE or LOGIN_CODES_PER_ADDRESS in ten
    minutes, `refused` for a blocked phone or an account that was switched off.
    """
    # The lock makes parallel requests count one another.
    account = User.objects.select_for_update(no_key=True).get(pk=account.pk)
    if not account.is_active or is_blocked(account.phone or ""):
        raise AccountError("refused")
    address_hash = hash_personal(address)
    recent = LoginCode.objects.filter(created_at__gt=Now() - CODE_WINDOW)
    if (
        recent.filter(account=account).count() >= settings.LOGIN_CODES_PER_PHONE
        or recent.filter(address_hash=address_hash).count() >= settings.LOGIN_CODES_PER_ADDRESS
    ):
        log.warning("login_codes_throttled", extra={"account_id": account.pk})
        raise AccountError("too_many_codes", retry_after=int(CODE_WINDOW.total_seconds()))
    LoginCode.objects.usable().filter(account=account).update(expires_at=Now())
    code = LoginCode.objects.create(
        account=account,
        browser=browser,
        address_hash=address_hash,
        expires_at=Now() + timedelta(seconds=settings.LOGIN_CODE_AGE),
    )
    queue_email(
        "login_code",
        f"login_code:{code.pk}",
        to=account.email,
        language=account.language,
        fast=True,
    )
    return code


def verify_login_code(*, phone: str, browser: str, typed: str) -> User:
    """Return the account that proved itself with the code sent to this browser.

    At most LOGIN_CODE_TRIES wrong codes are ever compared, however many come at once. Raises
    AccountError: `wrong_code`, `code_expired` (also when used or voided by a newer one),
    `too_many_tries`.
    """
    code = (
        LoginCode.objects.filter(account__phone=phone, browser=browser)
        .select_related("account")
        .order_by("-pk")
        .first()
    )
    if code is None:
        raise AccountError("code_expired")
    if not code.spend_try():
        code.refresh_from_db()
        out_of_tries = code.used_at is None and code.tries >= settings.LOGIN_CODE_TRIES
        raise AccountError("too_many_tries" if out_of_tries else "code_expired")
    if not code.matches(typed):
        log.warning("login_code_wrong", extra={"account_id": code.account_id})
        raise AccountError("wrong_code")
    if not code.use():
        raise AccountError("code_expired")
    account = code.account
    if not account.is_active:
        raise AccountError("refused")
    if account.verified_at is None:
        User.objects.filter(pk=account.pk, verified_at=None).update(verified_at=Now())
    log.info("signed_in", extra={"account_id": account.pk})
    return account
