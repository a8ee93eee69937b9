"""Registering, proving who one is with a code, and refusing blocked phones."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, Q
from django.db.models.functions import Now
from django.utils import timezone, translation
from django.utils.translation import gettext

from accounts.code_budgets import check_budgets
from accounts.exceptions import AccountError
from accounts.models import Claim, LoginCode, User
from accounts.sms import ChannelError, sms
from accounts.suspicious import hash_personal, note_suspicious
from notifications.recipients import recipient_key
from notifications.services import queue_email
from snap.addresses import normal_address

log = logging.getLogger(__name__)

# Number of the advisory locks under which the accounts of an email are counted, with the hash of
# that email: any number that nobody else uses.
EMAILS_LOCK = 0x534E4151


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
    SELECT count(*) FROM (
        SELECT FROM accounts_user WHERE email_key = %s
        AND (verified_at IS NOT NULL OR created_at > statement_timestamp() - interval '1 day')
        LIMIT %s
    ) AS theirs
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


def check_email_is_free(email: str, *, beside: User) -> None:
    """Raise AccountError `email_taken` when an email has ACCOUNTS_PER_EMAIL accounts beside one.

    Until the transaction ends, others wait who register with that email or are given an account.
    """
    key = recipient_key(email)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [EMAILS_LOCK, key])
    others = User.objects.filter(email_key=key).exclude(pk=beside.pk)
    if others.count() >= settings.ACCOUNTS_PER_EMAIL:
        raise AccountError("email_taken")


def send_login_code(
    account: User, *, browser: str, address: str, solved: bool = False
) -> LoginCode:
    """Send a fresh code for this browser to the account. This browser's last two codes are good.

    By SMS when there is such a channel and the account has no proven email, or the phone is claimed
    in this browser, since only that proves a phone; else by email, which always works. `browser` is
    the browser session's own random id, `address` the client's address; `solved` says that a
    challenge was solved for this code. Raises AccountError `too_many_codes` past one of the
    LOGIN_CODES_ limits in ten minutes, `refused` for a blocked phone, an account that was switched
    off or one that no channel reaches. Not for use inside a transaction.
    """
    with _noting(account.phone or "", address):
        code, by_stranger = _make_code(account, browser, address, solved=solved)
    _send_by_sms(code, by_stranger=by_stranger, solved=solved)
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
def _make_code(
    account: User, browser: str, address: str, *, solved: bool
) -> tuple[LoginCode, bool]:
    """Return a stored code, and whether it counts as an email that strangers cause."""
    account = User.objects.select_for_update(no_key=True).get(pk=account.pk)
    if not account.is_active or account.phone is None or is_blocked(account.phone):
        raise AccountError("refused")
    claim = None
    if sms():
        claim = Claim.objects.undecided().filter(account=account, browser=browser).first()
    by_email = bool(account.email) and account.has_proven_email
    by_sms = sms() is not None and (claim is not None or not by_email)
    if not by_sms and not account.email:
        raise AccountError("refused")
    code = LoginCode(
        account=account,
        browser=browser,
        address_hash=hash_personal(normal_address(address)),
        phone_prefix=account.phone[: settings.LOGIN_CODES_PREFIX_DIGITS + 1],
        channel=LoginCode.Channel.SMS if by_sms else LoginCode.Channel.EMAIL,
        claim=claim,
        expires_at=Now() + timedelta(seconds=settings.LOGIN_CODE_AGE),
    )
    by_stranger = check_budgets(code, solved=solved)
    of_browser = LoginCode.objects.filter(account=account, browser=browser)
    newest = of_browser.order_by("-pk").values("pk")[:1]
    of_browser.usable().exclude(pk__in=newest).update(expires_at=Now())
    code.save()
    if not by_sms:
        _queue_code(code, by_stranger=by_stranger, solved=solved)
    return code, by_stranger


def _queue_code(code: LoginCode, *, by_stranger: bool, solved: bool) -> None:
    account, cause = code.account, f"login_code:{code.pk}"
    queue_email(
        "login_code",
        cause,
        to=account.email,
        language=account.language,
        fast=True,
        by_stranger=by_stranger,
        solved=solved,
    )


def _send_by_sms(code: LoginCode, *, by_stranger: bool, solved: bool) -> None:
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
            _queue_code(code, by_stranger=by_stranger, solved=solved)


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

    Both of this browser's last two codes are good. `follow` is called with the proof, in its
    transaction; without it no claim is taken. At most LOGIN_CODE_TRIES wrong codes are ever
    compared, however many come at once; a right one costs no try. Raises AccountError:
    `wrong_code`, `code_expired` (also when used or voided by newer ones), `too_many_tries`,
    `refused`. Not for use inside a transaction, which would forget the tries.
    """
    are_good, code = _compare(phone, browser, typed)
    if not are_good:
        raise _no_good_code(phone, browser, address)
    if code is None:
        note_suspicious("wrong_code", phone=phone, address=address)
        raise AccountError("wrong_code")
    if code.claim and follow is None:
        raise AccountError("code_expired")
    proof = _use(code, follow)
    log.info("signed_in", extra={"account_id": proof.account.pk})
    return proof.account


@transaction.atomic
def _compare(phone: str, browser: str, typed: str) -> tuple[bool, LoginCode | None]:
    """Compare with the good codes of this browser, and count a try of each when none is right.

    Return whether there are any, and the right one. They are locked in order: who guesses at the
    same time waits, and then sees the tries of those before.
    """
    good = list(
        LoginCode.objects.usable()
        .filter(account__phone=phone, browser=browser)
        .select_related("claim")
        .order_by("pk")
        .select_for_update(of=("self",), no_key=True)
    )
    right = [code for code in good if code.matches(typed)]
    if good and not right:
        tried = [code.pk for code in good]
        LoginCode.objects.filter(pk__in=tried).update(tries=F("tries") + 1)
    return bool(good), right[-1] if right else None


def _no_good_code(phone: str, browser: str, address: str) -> AccountError:
    """Say why nothing could be compared: no try is left, or no code is good."""
    code = latest_code(phone, browser)
    is_spent = code and code.used_at is None and code.tries >= settings.LOGIN_CODE_TRIES
    if not is_spent:
        return AccountError("code_expired")
    note_suspicious("too_many_tries", phone=phone, address=address)
    return AccountError("too_many_tries")


@transaction.atomic
def _use(code: LoginCode, follow: Callable[[Proof], None] | None) -> Proof:
    account = User.objects.select_for_update(no_key=True).get(pk=code.account_id)
    if not _use_up(code):
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


def _use_up(code: LoginCode) -> bool:
    """Mark a code used, and the browser's other one with it. False if another request did.

    The account's lock is held: nothing else uses its codes up meanwhile. The rows are locked in the
    order in which guesses lock them.
    """
    of_browser = LoginCode.objects.filter(account=code.account_id, browser=code.browser)
    good = of_browser.filter(used_at=None, expires_at__gt=Now())
    both = good.filter(Exists(good.filter(pk=code.pk))).order_by("pk")
    locked = both.select_for_update(no_key=True).values("pk")
    return bool(LoginCode.objects.filter(pk__in=locked).update(used_at=Now()))


def _prove(account: User, code: LoginCode, *, ends_sessions: bool) -> None:
    """Mark an account as proven, and end the sessions of other browsers than the code's."""
    if ends_sessions:
        account.renew_sessions()
        account.ended_sessions, account.browser = [], code.browser
    account.verified_at = account.verified_at or timezone.now()
    account.proven_by = code.channel
    fields = ["session_nonce", "ended_sessions", "browser", "verified_at", "proven_by"]
    account.save(update_fields=fields)


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


def forget_proofs(account: User, *, email: bool, phone: bool) -> None:
    """Take back what an email or a phone has proven that an account no longer has.

    Codes end as well: they went to the old ones. The caller has stored the account in this
    transaction, and so holds its lock.
    """
    by_sms, gone = Q(proven_by=User.ProvenBy.SMS), Q(pk=None)
    if email:
        gone |= ~by_sms
    if phone:
        gone |= by_sms
    User.objects.filter(gone, pk=account.pk).update(verified_at=None, proven_by="")
    void_codes(account)


def void_codes(account: User) -> None:
    """End every code that was sent to an account and not used yet."""
    LoginCode.objects.usable().filter(account=account).update(expires_at=Now())
