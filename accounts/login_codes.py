"""One-time codes: sending and verifying them, and what a code or a link proves of an account."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Q
from django.db.models.functions import Now
from django.utils import timezone, translation
from django.utils.translation import gettext

from accounts.code_budgets import check_budgets
from accounts.exceptions import AccountError
from accounts.models import Claim, LoginCode, User
from accounts.services import is_blocked
from accounts.sms import ChannelError, sms_channel, sms_channel_to
from accounts.suspicious import hash_personal, note_suspicious
from notifications.kinds import is_paused
from notifications.services import queue_email
from snap.addresses import normal_address
from snap.observability.steps import CODE_SENT, SIGNED_IN, count_step

log = logging.getLogger(__name__)

KIND = "login_code"
# The reason under which a refusal is noted as suspicious, where it is not the refusal's own code.
SUSPICIOUS_REASONS = {"refused": "blocked_phone", "too_many_codes": "code_throttle"}


@dataclass(frozen=True)
class Proof:
    """The result of a code that was verified, or of a link that was opened.

    `is_first`: it is the account's first proof. `ends_sessions`: it is the account's first code,
    and it was typed in another browser than the one that registered. `claim` is the claim that the
    code settles: a code that went to the claimed phone, typed in the claimant's browser.
    """

    account: User
    is_first: bool
    ends_sessions: bool
    claim: Claim | None = None


# Sending -----------------------------------------------------------------------------------------


def send_login_code(
    account: User, *, browser: str, address: str, solved: bool = False, page: str = ""
) -> LoginCode:
    """Send a new code for this browser to the account. The browser's last two codes are usable.

    The code goes by SMS if there is an SMS channel and either the account has no proven email or
    this browser claims the phone, because only an SMS proves a phone. Otherwise, and to a landline,
    it goes by email.
    `browser` is the browser session's random id, `address` the client's address; `solved` says that
    a challenge was solved for this code. `page` is the path to which the link in the email leads,
    "" for an email without a link. Raises AccountError: `too_many_codes` past one of the
    LOGIN_CODES_ limits in ten minutes, `refused` for a blocked phone, an inactive account, or an
    account that no channel reaches, `codes_paused` while staff have turned codes by email off. Not
    for use inside a transaction.
    """
    with _note_refusals(account.phone or "", address):
        code, by_stranger = _create_code(account, browser, address, solved=solved, page=page)
    if code.channel == LoginCode.Channel.SMS:
        _send_by_sms(code, by_stranger=by_stranger, solved=solved)
    count_step(CODE_SENT)
    return code


@contextmanager
def _note_refusals(phone: str, address: str) -> Iterator[None]:
    """Note refusals as suspicious, after their transaction has ended."""
    try:
        yield
    except AccountError as error:
        if error.code != "codes_paused":
            reason = SUSPICIOUS_REASONS.get(error.code, error.code)
            note_suspicious(reason, phone=phone, address=address)
        raise


@transaction.atomic
def _create_code(
    account: User, browser: str, address: str, *, solved: bool, page: str
) -> tuple[LoginCode, bool]:
    """Return a stored code, and whether it counts as an email that strangers cause.

    Queues the email of a code that goes by email.
    """
    account = User.objects.select_for_update(no_key=True).get(pk=account.pk)
    if not account.is_active or account.phone is None or is_blocked(account.phone):
        raise AccountError("refused")
    channel, claim = _channel_for(account, browser)
    if channel == LoginCode.Channel.EMAIL:
        _check_not_paused()
    code = LoginCode(
        account=account,
        browser=browser,
        address_hash=hash_personal(normal_address(address)),
        phone_prefix=account.phone[: settings.LOGIN_CODES_PREFIX_DIGITS + 1],
        channel=channel,
        claim=claim,
        page=page,
        expires_at=Now() + timedelta(seconds=settings.LOGIN_CODE_AGE),
    )
    by_stranger = check_budgets(code, solved=solved)
    of_browser = LoginCode.objects.filter(account=account, browser=browser)
    newest = of_browser.order_by("-pk").values("pk")[:1]
    of_browser.usable().exclude(pk__in=newest).update(expires_at=Now())
    code.save()
    if channel == LoginCode.Channel.EMAIL:
        _queue_email(code, by_stranger=by_stranger, solved=solved)
    return code, by_stranger


def _channel_for(account: User, browser: str) -> tuple[str, Claim | None]:
    """Return the channel of a code, and this browser's claim on the phone. At most one query.

    Raises AccountError `refused` if no channel reaches the account.
    """
    if sms_channel_to(account.phone or ""):
        claim = Claim.objects.undecided().filter(account=account, browser=browser).first()
        if claim or not account.email or not account.has_proven_email:
            return LoginCode.Channel.SMS, claim
    if not account.email:
        raise AccountError("refused")
    return LoginCode.Channel.EMAIL, None


def _check_not_paused() -> None:
    """Raise AccountError `codes_paused` while staff have turned codes by email off.

    A code that waits in the queue would expire there.
    """
    if is_paused(KIND):
        raise AccountError("codes_paused")


def _queue_email(code: LoginCode, *, by_stranger: bool, solved: bool) -> None:
    account, cause = code.account, f"login_code:{code.pk}"
    queue_email(
        KIND,
        cause,
        to=account.email,
        language=account.language,
        fast=True,
        by_stranger=by_stranger,
        solved=solved,
    )


def _send_by_sms(code: LoginCode, *, by_stranger: bool, solved: bool) -> None:
    """Send a code by SMS. If the channel fails, send it to the account's email instead.

    A claim's code is not sent by email, because only the holder of the phone may have it. Raises
    AccountError `codes_paused` if the email would wait.
    """
    channel = sms_channel()
    assert channel is not None
    with translation.override((code.claim or code.account).language):
        text = gettext("%(code)s is your SNAP code. Tell it to nobody.") % {"code": code.digits()}
    try:
        channel.send(code.account.phone or "", text)
    except (ChannelError, OSError) as error:
        log.warning("sms_failed", extra={"code_id": code.pk, "error": type(error).__name__})
        if code.account.email and not code.claim:
            _check_not_paused()
            LoginCode.objects.filter(pk=code.pk).update(channel=LoginCode.Channel.EMAIL)
            _queue_email(code, by_stranger=by_stranger, solved=solved)


# Verifying ---------------------------------------------------------------------------------------


def latest_code(phone: str, browser: str) -> LoginCode | None:
    """Return the last code sent to a phone's account in this browser, with account and claim."""
    return (
        LoginCode.objects.filter(account__phone=phone, browser=browser)
        .select_related("account", "claim")
        .order_by("-pk")
        .first()
    )


def verify_login_code(
    *,
    phone: str,
    browser: str,
    typed: str,
    address: str = "",
    on_proof: Callable[[Proof], None] | None = None,
) -> User:
    """Return the account whose code, sent to this browser, was typed.

    This browser's last two codes are usable. `on_proof` is called with the proof inside its
    transaction. Without it, codes of claims count as expired. At most LOGIN_CODE_TRIES wrong codes
    are ever compared, however many arrive at once; a right one uses no try. Raises AccountError:
    `wrong_code`, `code_expired` (also for a used or superseded code), `too_many_tries`, `refused`.
    Not for use inside a transaction, whose rollback would undo the count of tries.
    """
    any_usable, code = _compare(phone, browser, typed)
    if not any_usable:
        raise _no_usable_code(phone, browser, address)
    if code is None:
        note_suspicious("wrong_code", phone=phone, address=address)
        raise AccountError("wrong_code")
    if code.claim and on_proof is None:
        raise AccountError("code_expired")
    proof = _redeem(code, on_proof)
    log.info("signed_in", extra={"account_id": proof.account.pk})
    count_step(SIGNED_IN)
    return proof.account


@transaction.atomic
def _compare(phone: str, browser: str, typed: str) -> tuple[bool, LoginCode | None]:
    """Return whether this browser has usable codes, and the one that was typed.

    If none was typed, count a try of each. The rows are locked in order: concurrent guesses wait,
    and then see the tries of the earlier ones.
    """
    usable = (
        LoginCode.objects.usable()
        .filter(account__phone=phone, browser=browser)
        .select_related("claim")
        .order_by("pk")
        .select_for_update(of=("self",), no_key=True)
    )
    right = None
    compared = []
    for code in usable:
        compared.append(code.pk)
        if code.matches(typed):
            right = code
    if compared and right is None:
        LoginCode.objects.filter(pk__in=compared).update(tries=F("tries") + 1)
    return bool(compared), right


def _no_usable_code(phone: str, browser: str, address: str) -> AccountError:
    """Return the error that says why there is no usable code: no try is left, or it has expired."""
    code = latest_code(phone, browser)
    is_spent = code and code.used_at is None and code.tries >= settings.LOGIN_CODE_TRIES
    if not is_spent:
        return AccountError("code_expired")
    note_suspicious("too_many_tries", phone=phone, address=address)
    return AccountError("too_many_tries")


@transaction.atomic
def _redeem(code: LoginCode, on_proof: Callable[[Proof], None] | None) -> Proof:
    """Mark a code as used and its account as proven. Return the proof.

    Raises AccountError: `code_expired` if another request was faster, or `refused`.
    """
    account = User.objects.select_for_update(no_key=True).get(pk=code.account_id)
    if not _mark_used(code):
        raise AccountError("code_expired")
    if not account.is_active or is_blocked(account.phone or ""):
        raise AccountError("refused")
    is_first = account.verified_at is None and code.claim is None
    is_first_code = is_first or (code.claim is None and account.proven_by == User.ProvenBy.LINK)
    ends_sessions = is_first_code and account.browser != code.browser
    if is_first_code:
        _mark_proven(account, code, ends_sessions=ends_sessions)
    proof = Proof(account, is_first, ends_sessions, code.claim)
    if on_proof:
        on_proof(proof)
    return proof


def _mark_used(code: LoginCode) -> bool:
    """Mark a code and the browser's other one as used. False if another request did so before.

    The caller holds the account's lock, so no other request uses its codes meanwhile. The rows are
    locked in the order in which `_compare` locks them.
    """
    of_browser = LoginCode.objects.filter(account=code.account_id, browser=code.browser)
    unused = of_browser.filter(used_at=None, expires_at__gt=Now())
    both = unused.filter(Exists(unused.filter(pk=code.pk))).order_by("pk")
    locked = both.select_for_update(no_key=True).values("pk")
    return bool(LoginCode.objects.filter(pk__in=locked).update(used_at=Now()))


def _mark_proven(account: User, code: LoginCode, *, ends_sessions: bool) -> None:
    """Mark an account as proven, and end the sessions of other browsers than the code's."""
    if ends_sessions:
        account.renew_sessions()
        account.ended_sessions = []
        account.browser = code.browser
    account.verified_at = account.verified_at or timezone.now()
    account.proven_by = code.channel
    fields = ["session_nonce", "ended_sessions", "browser", "verified_at", "proven_by"]
    account.save(update_fields=fields)


# Proofs ------------------------------------------------------------------------------------------


def prove_email(account: User) -> bool:
    """Mark an account as proven by a link that was sent to its own email. One statement.

    Return whether this is its first proof. It is not if the email has changed since the account was
    read. No session ends or begins.
    """
    same = User.objects.filter(pk=account.pk, email=account.email, is_active=True)
    proof = {"verified_at": Now(), "proven_by": User.ProvenBy.LINK}
    is_first = bool(same.filter(verified_at=None).update(**proof))
    if is_first:
        account.refresh_from_db(fields=["verified_at", "proven_by"])
        log.info("email_proven", extra={"account_id": account.pk})
    return is_first


def revoke_proofs(account: User, *, email: bool, phone: bool) -> None:
    """Revoke the proofs of an email or a phone that the account has no longer, and all its codes.

    The codes went to the old email or phone. The caller has saved the account in this transaction,
    and so holds its lock.
    """
    by_sms = Q(proven_by=User.ProvenBy.SMS)
    revoked = Q(pk=None)
    if email:
        revoked |= ~by_sms
    if phone:
        revoked |= by_sms
    User.objects.filter(revoked, pk=account.pk).update(verified_at=None, proven_by="")
    void_codes(account)


def void_codes(account: User) -> None:
    """Expire all usable codes of an account."""
    LoginCode.objects.usable().filter(account=account).update(expires_at=Now())
