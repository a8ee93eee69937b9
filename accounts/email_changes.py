"""Holders change the email of their account. `guests.claims.corrections` changes their places, too.

An unproven account is changed directly in the browser that registered it. Any other change needs a
code, which goes to the present email or by SMS: the account stays with the person who has it.
"""

import logging

from django.conf import settings
from django.db.models import CharField, Subquery, Value
from django.db.models.functions import Cast, Concat

from accounts.exceptions import AccountError
from accounts.login_codes import revoke_proofs
from accounts.models import EmailChange, LoginCode, User
from accounts.services import check_email_is_free, is_blocked
from notifications.models import Email
from notifications.services import EmailToQueue, queue_emails
from snap.mail_addresses import is_same_address

log = logging.getLogger(__name__)


def may_change_directly(account: User, browser: str) -> bool:
    """Return whether the email can be changed without a code, in this browser."""
    return account.verified_at is None and account.is_known_in(browser)


def usable_code(account: User, browser: str) -> LoginCode | None:
    """Return the last code that was sent for this browser and can still be typed, or None."""
    codes = LoginCode.objects.usable().filter(account=account, browser=browser, claim=None)
    return codes.order_by("-pk").first()


def was_new_email_told(account: User) -> bool:
    """Return whether an email about the last change goes to the new address. One query.

    It does not once strangers have caused EMAILS_PER_RECIPIENT emails to that address.
    """
    latest = EmailChange.objects.filter(account=account).order_by("-pk").values("pk")[:1]
    cause = Concat(Value("email_change:"), Cast(Subquery(latest), CharField()), Value("/new"))
    told = Email.objects.filter(kind="email_changed", cause=cause)
    return told.exclude(state=Email.State.CANCELLED).exists()


def change_email(account: User, email: str, *, browser: str | None, proof: str) -> EmailChange:
    """Give a locked account another email. Its old proofs by email and all its codes end.

    The browser can correct the new email directly, until that is proven. None, for a change by
    staff, leaves that to the browser that could do so before. Raises AccountError:
    `same_email`, `too_many_changes` past EMAIL_CHANGES_A_DAY, `email_taken`, or `refused` for a
    blocked phone, an inactive account or one with rights in admin. The caller has locked the
    account's row.
    """
    is_refused = not account.is_active or is_blocked(account.phone or "")
    # Only a superuser changes the email of an account with rights in admin.
    if is_refused or account.has_powers:
        raise AccountError("refused")
    if is_same_address(email, account.email):
        raise AccountError("same_email")
    if EmailChange.objects.of_today(account).count() >= settings.EMAIL_CHANGES_A_DAY:
        raise AccountError("too_many_changes")
    check_email_is_free(email, beside=account)
    change = EmailChange.objects.create(
        account=account,
        from_email=account.email,
        to_email=email,
        proof=proof,
        was_proven=account.has_proven_email,
    )
    account.email = email
    if browser is not None:
        account.browser = browser
        account.ended_sessions = [each for each in account.ended_sessions if each != browser]
    account.save(update_fields=["email", "browser", "ended_sessions"])
    revoke_proofs(account, email=True, phone=False)
    account.refresh_from_db(fields=["verified_at", "proven_by"])
    _queue_emails(change, account)
    log.info("email_changed", extra={"account_id": account.pk, "proof": proof})
    return change


def _queue_emails(change: EmailChange, account: User) -> None:
    """Queue the email that proves the new address, and one to a proven address from before."""
    emails = [_email(change, account, "new", account.email)]
    if change.was_proven and change.from_email:
        emails.append(_email(change, account, "old", change.from_email))
    queue_emails(emails)


def _email(change: EmailChange, account: User, side: str, to: str) -> EmailToQueue:
    return EmailToQueue(
        kind="email_changed",
        cause=f"email_change:{change.pk}/{side}",
        to=to,
        language=account.language,
        # Anyone can type an address. The address from before was proven.
        by_stranger=side == "new" and change.proof != EmailChange.Proof.STAFF,
    )
