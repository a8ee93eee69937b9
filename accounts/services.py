"""Registering, proving who one is with a code, and refusing blocked phones."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone, translation
from django.utils.translation import gettext

from notifications.recipients import has_enough, recipient_key
from notifications.services import queue_email
from snap.addresses import normal_address

from .channels import ChannelError, sms
from .errors import AccountError
from .models import Claim, LoginCode, User, make_nonce
from .suspicious import hash_personal, note_suspicious

log = logging.getLogger(__name__)

# Numbers of advisory locks, any that nobody else uses: codes are counted under one, the accounts of
# an email under the other, with the hash of that email.
CODES_LOCK = 0x534E4150
EMAILS_LOCK = 0x534E4151

CODE_WINDOW = timedelta(minutes=10)
# Seconds after which an address that got too many emails may get more.
EMAIL_WINDOW = 3600


def is_blocked(phone: str) -> bool:
    """Say whether a phone (E.164) may not join any list: it, or a prefix of it. One query.

    Asked in every request for a place: put together by the ORM it took three times as long.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {BLOCKED}", [_prefixes(phone), phone])
        (blocked,) = cursor.fetchone()
    return bool(blocked)


BLOCKED = """
EXISTS (
    SELECT FROM accounts_blockedphone
    WHERE phone = ANY(%s) AND (is_prefix OR phone = %s)
    AND (expires_at IS NULL OR expires_at > statement_timestamp())
)
"""


ACCOUNTS_OF_EMAIL = """
(
    SELECT count(*) FROM (SELECT FROM accounts_user WHERE email_key = %s LIMIT %s) AS theirs
)
"""


def _prefixes(phone: str) -> list[str]:
    return [phone[:length] for length in range(2, len(phone) + 1)]


def find_account(phone: str) -> User | None:
    """Return the account with this phone (E.164), or None. One query."""
    return User.objects.filter(phone=phone).first()


def register(
    *,
    phone: str,
    first_name: str,
    last_name: str,
    email: str,
    language: str,
    browser: str = "",
) -> User:
    """Create an unverified account and queue its welcome email, both or neither.

    `browser` is the browser session that registers: a code proven elsewhere ends its sessions.
    Raises AccountError: `phone_taken`, `refused` for a blocked phone, or `email_taken` when the
    email has ACCOUNTS_PER_EMAIL accounts. Registrations with one email wait for each other.
    """
    try:
        with transaction.atomic():
            _check_may_register(phone, email)
            account = User.objects.create_user(
                phone,
                first_name=first_name,
                last_name=last_name,
                email=email,
                language=language,
                browser=browser,
            )
            cause = f"account:{account.pk}"
            queue_email("welcome", cause, to=email, language=language, by_stranger=True)
    except IntegrityError as error:
        raise AccountError("phone_taken") from error
    log.info("account_registered", extra={"account_id": account.pk})
    return account


def _check_may_register(phone: str, email: str) -> None:
    """Raise AccountError `refused` or `email_taken`.

    Two statements in one round trip: the second has a snapshot of its own, and so sees what the
    registration that held the lock before has committed.
    """
    key, most = recipient_key(email), settings.ACCOUNTS_PER_EMAIL
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT pg_advisory_xact_lock(%s, hashtext(%s));"
            f" SELECT {BLOCKED}, {ACCOUNTS_OF_EMAIL} >= %s",
            [EMAILS_LOCK, key, _prefixes(phone), phone, key, most, most],
        )
        cursor.nextset()
        is_refused, is_taken = cursor.fetchone()
    if is_refused or is_taken:
        code = "refused" if is_refused else "email_taken"
        log.warning(
            "registration_refused", extra={"phone_hash": hash_personal(phone), "code": code}
        )
        raise AccountError(code)


def send_login_code(account: User, *, browser: str, address: str) -> LoginCode:
    """Send a fresh code for this browser to the account; older codes no longer count.

    By SMS when there is such a channel and the phone is not proven yet or has no email, since only
    that proves a phone; else by email, which always works. `browser` is the browser session's own
    random id, `address` the client's address. Raises AccountError `too_many_codes` past one of the
    LOGIN_CODES_ limits in ten minutes, `refused` for a blocked phone, an account that was switched
    off or one that no channel reaches. Not for use inside a transaction.
    """
    with _noting(account.phone or "", address):
        code = _make_code(account, browser, address)
    _send_by_sms(code)
    return code


def claim_phone(
    account: User,
    *,
    first_name: str,
    last_name: str,
    email: str,
    language: str,
    browser: str,
    address: str,
) -> LoginCode:
    """Keep what somebody says whose phone an unverified account has, and send the code to prove it.

    With a channel for SMS the code goes to the phone itself and nowhere else; without one the new
    email is as good as the old, which nobody proved either. Raises AccountError as
    `send_login_code` does, and `phone_taken` for an account that was proven: nobody can claim that.
    Not for use inside a transaction.
    """
    said = Claim(first_name=first_name, last_name=last_name, email=email, language=language)
    with _noting(account.phone or "", address):
        code = _make_code(account, browser, address, said)
    note_suspicious("claim", phone=account.phone or "", address=address)
    _send_by_sms(code)
    return code


@contextmanager
def _noting(phone: str, address: str) -> Iterator[None]:
    """Note refusals as suspicious, after their transaction has ended."""
    reasons = {"refused": "blocked_phone", "too_many_codes": "code_throttle"}
    try:
        yield
    except AccountError as error:
        note_suspicious(reasons.get(error.code, error.code), phone=phone, address=address)
        raise


@transaction.atomic
def _make_code(account: User, browser: str, address: str, said: Claim | None = None) -> LoginCode:
    account = User.objects.select_for_update(no_key=True).get(pk=account.pk)
    if not account.is_active or account.phone is None or is_blocked(account.phone):
        raise AccountError("refused")
    if said and account.verified_at:
        raise AccountError("phone_taken")
    email = said.email if said else account.email
    by_sms = sms() is not None and (account.verified_at is None or not email)
    if not by_sms and not email:
        raise AccountError("refused")
    if not by_sms and account.verified_at is None and has_enough(email):
        # Nobody has proven that this address is theirs, and it gets enough from strangers.
        raise AccountError("too_many_codes", retry_after=EMAIL_WINDOW)
    code = LoginCode(
        account=account,
        browser=browser,
        address_hash=hash_personal(normal_address(address)),
        phone_prefix=account.phone[: settings.LOGIN_CODES_PREFIX_DIGITS + 1],
        channel=LoginCode.Channel.SMS if by_sms else LoginCode.Channel.EMAIL,
        expires_at=Now() + timedelta(seconds=settings.LOGIN_CODE_AGE),
    )
    _check_limits(code)
    if said:
        said.account = account
        said.save()
        code.claim = said
    LoginCode.objects.usable().filter(account=account).update(expires_at=Now())
    code.save()
    if not by_sms:
        _queue_code(code)
    return code


def _check_limits(code: LoginCode) -> None:
    """Raise AccountError `too_many_codes` when a limit is reached. Four counts, each bounded.

    Codes are counted and made one at a time, for as long as the transaction lasts: two at once
    would not count each other. That is some milliseconds, and a hundred codes a second are plenty.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CODES_LOCK])
    recent = LoginCode.objects.filter(created_at__gt=Now() - CODE_WINDOW)
    limits = [
        (recent.filter(account=code.account), settings.LOGIN_CODES_PER_PHONE),
        (recent.filter(address_hash=code.address_hash), settings.LOGIN_CODES_PER_ADDRESS),
        (recent.filter(phone_prefix=code.phone_prefix), settings.LOGIN_CODES_PER_PREFIX),
        (recent, settings.LOGIN_CODES_IN_ALL),
    ]
    if any(codes[:limit].count() >= limit for codes, limit in limits):
        raise AccountError("too_many_codes", retry_after=int(CODE_WINDOW.total_seconds()))


def _queue_code(code: LoginCode) -> None:
    to = code.claim or code.account
    cause = f"login_code:{code.pk}"
    by_stranger = code.account.verified_at is None
    queue_email(
        "login_code",
        cause,
        to=to.email,
        language=to.language,
        fast=True,
        by_stranger=by_stranger,
    )


def _send_by_sms(code: LoginCode) -> None:
    """Send a code by SMS; one that the channel does not take goes to the account's email.

    A claim's code does not: only who holds the phone may have it.
    """
    channel = sms()
    if code.channel != LoginCode.Channel.SMS or channel is None:
        return
    with translation.override((code.claim or code.account).language):
        text = gettext("%(code)s is your SNAP code. Tell it to nobody.") % {"code": code.digits()}
    try:
        channel.send(code.account.phone or "", text)
    except (ChannelError, OSError) as error:
        log.warning("sms_failed", extra={"code_id": code.pk, "error": type(error).__name__})
        if code.account.email and not code.claim:
            LoginCode.objects.filter(pk=code.pk).update(channel=LoginCode.Channel.EMAIL)
            _queue_code(code)


def latest_code(phone: str, browser: str) -> LoginCode | None:
    """Return the code that was sent last for a phone in this browser, with its account."""
    return (
        LoginCode.objects.filter(account__phone=phone, browser=browser)
        .select_related("account", "claim")
        .order_by("-pk")
        .first()
    )


@dataclass(frozen=True)
class Proof:
    """What a code has proven. `is_first`: of this account; `is_claim`: it has a new owner."""

    account: User
    is_first: bool
    is_claim: bool
    ends_sessions: bool


def verify_login_code(
    *,
    phone: str,
    browser: str,
    typed: str,
    address: str = "",
    follow: Callable[[Proof], None] | None = None,
) -> User:
    """Return the account that proved itself with the code sent to this browser.

    `follow` is called with the proof, in its transaction; without it no claim is taken. At most
    LOGIN_CODE_TRIES wrong codes are ever compared, however many come at once. Raises AccountError:
    `wrong_code`, `code_expired` (also when used or voided by a newer one), `too_many_tries`,
    `refused`. Not for use inside a transaction, which would forget the tries.
    """
    code = latest_code(phone, browser)
    if code is None or (code.claim and follow is None):
        raise AccountError("code_expired")
    if not code.spend_try():
        code.refresh_from_db()
        if code.used_at is None and code.tries >= settings.LOGIN_CODE_TRIES:
            note_suspicious("too_many_tries", phone=phone, address=address)
            raise AccountError("too_many_tries")
        raise AccountError("code_expired")
    if not code.matches(typed):
        note_suspicious("wrong_code", phone=phone, address=address)
        raise AccountError("wrong_code")
    proof = _use(code, follow)
    log.info("signed_in", extra={"account_id": proof.account.pk})
    return proof.account


@transaction.atomic
def _use(code: LoginCode, follow: Callable[[Proof], None] | None) -> Proof:
    account = User.objects.select_for_update(no_key=True).get(pk=code.account_id)
    if not code.use():
        raise AccountError("code_expired")
    if not account.is_active or is_blocked(account.phone or ""):
        raise AccountError("refused")
    is_first = account.verified_at is None
    if code.claim and not is_first:
        raise AccountError("code_expired")
    ends_sessions = is_first and (code.claim is not None or account.browser != code.browser)
    if is_first:
        _prove(account, code, ends_sessions=ends_sessions)
    proof = Proof(account, is_first, code.claim is not None, ends_sessions)
    if follow:
        follow(proof)
    return proof


def _prove(account: User, code: LoginCode, *, ends_sessions: bool) -> None:
    """Make an account the proven one of whoever typed the code, by the names they gave."""
    if code.claim:
        account.first_name, account.last_name = code.claim.first_name, code.claim.last_name
        account.email, account.language = code.claim.email, code.claim.language
        log.warning("account_claimed", extra={"account_id": account.pk})
    if ends_sessions:
        account.session_nonce, account.browser = make_nonce(), code.browser
    account.verified_at = timezone.now()
    account.save()
    Claim.objects.filter(account=account).delete()
