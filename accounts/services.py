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

from notifications.services import queue_email

from .channels import ChannelError, sms
from .errors import AccountError
from .models import Claim, LoginCode, User, make_nonce
from .suspicious import hash_personal, network_of, note_suspicious

log = logging.getLogger(__name__)

# One number for the advisory lock under which codes are counted, any that nobody else uses.
CODES_LOCK = 0x534E4150

CODE_WINDOW = timedelta(minutes=10)


def is_blocked(phone: str) -> bool:
    """Say whether a phone (E.164) may not join any list: it, or a prefix of it. One query.

    Asked in every request for a place: put together by the ORM it took three times as long.
    """
    prefixes = [phone[:length] for length in range(2, len(phone) + 1)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT EXISTS (
                SELECT FROM accounts_blockedphone
                WHERE phone = ANY(%s) AND (is_prefix OR phone = %s)
                AND (expires_at IS NULL OR expires_at > statement_timestamp())
            )
            """,
            [prefixes, phone],
        )
        (blocked,) = cursor.fetchone()
    return bool(blocked)


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
    Raises AccountError: `phone_taken`, or `refused` for a blocked phone.
    """
    if is_blocked(phone):
        log.warning("registration_refused", extra={"phone_hash": hash_personal(phone)})
        raise AccountError("refused")
    try:
        with transaction.atomic():
            account = User.objects.create_user(
                phone,
                first_name=first_name,
                last_name=last_name,
                email=email,
                language=language,
                browser=browser,
            )
            queue_email("welcome", f"account:{account.pk}", to=email, language=language)
    except IntegrityError as error:
        raise AccountError("phone_taken") from error
    log.info("account_registered", extra={"account_id": account.pk})
    return account


def send_login_code(account: User, *, browser: str, address: str) -> LoginCode:
    """Send a fresh code for this browser to the account; older codes no longer count.

    By SMS when there is such a channel and the account has no proven email, or the phone is claimed
    in this browser, since only that proves a phone; else by email, which always works. `browser` is
    the browser session's own random id, `address` the client's address. Raises AccountError
    `too_many_codes` past one of the LOGIN_CODES_ limits in ten minutes, `refused` for a blocked
    phone, an account that was switched off or one that no channel reaches. Not for use inside a
    transaction.
    """
    with _noting(account.phone or "", address):
        code = _make_code(account, browser, address)
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
def _make_code(account: User, browser: str, address: str) -> LoginCode:
    account = User.objects.select_for_update(no_key=True).get(pk=account.pk)
    if not account.is_active or account.phone is None or is_blocked(account.phone):
        raise AccountError("refused")
    claim = None
    if sms():
        claim = Claim.objects.undecided().filter(account=account, browser=browser).first()
    # An account that SMS has proven has an email that nobody did.
    proven_email = (
        account.email if account.verified_at and account.proven_by != User.ProvenBy.SMS else ""
    )
    by_sms = sms() is not None and (claim is not None or not proven_email)
    if not by_sms and not account.email:
        raise AccountError("refused")
    code = LoginCode(
        account=account,
        browser=browser,
        address_hash=hash_personal(network_of(address)),
        phone_prefix=account.phone[: settings.LOGIN_CODES_PREFIX_DIGITS + 1],
        channel=LoginCode.Channel.SMS if by_sms else LoginCode.Channel.EMAIL,
        claim=claim,
        expires_at=Now() + timedelta(seconds=settings.LOGIN_CODE_AGE),
    )
    _check_limits(code)
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
    account, cause = code.account, f"login_code:{code.pk}"
    queue_email("login_code", cause, to=account.email, language=account.language, fast=True)


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
    """What a code has proven.

    `is_first`: it is the account's first proof. `ends_sessions`: it is the first code, and it was
    typed in another browser than the one that registered. `claim` is what the code settles: it went
    to the phone itself, in the claimant's browser.
    """

    account: User
    is_first: bool
    ends_sessions: bool
    claim: Claim | None = None


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
    is_first = account.verified_at is None and code.claim is None
    is_first_code = is_first or (code.claim is None and account.proven_by == User.ProvenBy.LINK)
    ends_sessions = is_first_code and account.browser != code.browser
    if is_first_code:
        _prove(account, code, ends_sessions=ends_sessions)
    proof = Proof(account, is_first, ends_sessions, code.claim)
    if follow:
        follow(proof)
    return proof


def _prove(account: User, code: LoginCode, *, ends_sessions: bool) -> None:
    """Mark an account as proven, and end the sessions of other browsers than the code's."""
    if ends_sessions:
        account.session_nonce, account.browser = make_nonce(), code.browser
    account.verified_at = account.verified_at or timezone.now()
    account.proven_by = code.channel
    account.save(update_fields=["session_nonce", "browser", "verified_at", "proven_by"])


def prove_email(account: User) -> bool:
    """Mark an account as proven by a link that was sent to its own email. One statement.

    Return whether this is its first proof: False also when the email has changed since the account
    was read. No session ends and none begins.
    """
    same = User.objects.filter(pk=account.pk, email=account.email, is_active=True)
    proof = {"verified_at": Now(), "proven_by": User.ProvenBy.LINK}
    is_first = bool(same.filter(verified_at=None).update(**proof))
    if is_first:
        account.refresh_from_db(fields=["verified_at", "proven_by"])
        log.info("email_proven", extra={"account_id": account.pk})
    return is_first


def void_codes(account: User) -> None:
    """End every code that was sent to an account and not used yet."""
    LoginCode.objects.usable().filter(account=account).update(expires_at=Now())
