"""Registration, and who may register."""

import logging
from functools import partial

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from accounts.exceptions import AccountError
from accounts.models import User
from accounts.suspicious import hash_personal
from notifications.recipients import recipient_key
from notifications.services import queue_email
from snap.observability.steps import REGISTERED, count_step

log = logging.getLogger(__name__)

# The first key of the advisory locks under which the accounts of an email are counted. The second
# key is a hash of the email. Any number that no other lock uses.
EMAIL_LOCK = 0x534E4151

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
    ) AS accounts
)
"""


def is_blocked(phone: str) -> bool:
    """Return whether a phone (E.164), or a prefix of it, is blocked from all lists. One query.

    Each request for a place calls this. The ORM takes three times as long to build the query.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {BLOCKED}", [_prefixes(phone), phone])
        (blocked,) = cursor.fetchone()
    return bool(blocked)


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
    """Create an unverified account and queue its welcome email, both in one transaction.

    `phone` is E.164. `browser` is the id of the browser session that registers: the first code that
    is verified in another browser ends its sessions. Raises AccountError: `phone_taken`, `refused`
    for a blocked phone, or `email_taken` when the email has ACCOUNTS_PER_EMAIL accounts.
    Registrations with one email wait for each other.
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
    transaction.on_commit(partial(count_step, REGISTERED))
    return account


def _check_may_register(phone: str, email: str) -> None:
    """Raise AccountError `refused` or `email_taken`. One round trip.

    Two statements: the second one has its own snapshot, so it sees what the registration that held
    the lock before has committed.
    """
    key, limit = recipient_key(email), settings.ACCOUNTS_PER_EMAIL
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT pg_advisory_xact_lock(%s, hashtext(%s));"
            f" SELECT {BLOCKED}, {ACCOUNTS_OF_EMAIL} >= %s",
            [EMAIL_LOCK, key, _prefixes(phone), phone, key, limit, limit],
        )
        cursor.nextset()
        blocked, email_taken = cursor.fetchone()
    if blocked:
        raise _refusal("refused", phone)
    if email_taken:
        raise _refusal("email_taken", phone)


def _refusal(code: str, phone: str) -> AccountError:
    fields = {"phone_hash": hash_personal(phone), "code": code}
    log.warning("registration_refused", extra=fields)
    return AccountError(code)


def check_email_is_free(email: str, *, beside: User) -> None:
    """Raise AccountError `email_taken` when ACCOUNTS_PER_EMAIL accounts besides one have an email.

    Until the transaction ends, registrations with that email and claims that give it to an account
    wait.
    """
    key = recipient_key(email)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [EMAIL_LOCK, key])
    others = User.objects.filter(email_key=key).exclude(pk=beside.pk)
    if others.count() >= settings.ACCOUNTS_PER_EMAIL:
        raise AccountError("email_taken")
