"""What a proof changes on the lists: QR codes that waited for it are sent."""

from django.db import transaction

from accounts.exceptions import AccountError
from accounts.login_codes import Proof, latest_code, prove_email, verify_login_code
from accounts.models import User
from guests.claims.services import lock_lists_of, renew_tickets, settle_by_phone
from guests.models import Guest
from guests.qr.codes import fill_pool
from guests.requests.places import email_about
from notifications.models import Email
from notifications.services import queue_emails, requeue_emails


def prove_by_code(*, phone: str, browser: str, typed: str, address: str) -> User:
    """Return the account that a code has proven. A claim that the code belongs to is settled.

    Raises AccountError as `verify_login_code` does, and `claim_waits` when the code was right and
    staff have to decide the claim. Not for use inside a transaction.
    """
    code = latest_code(phone, browser)
    if code and code.claim:
        fill_pool(Guest.objects.on_lists_of(code.account).count())
    left_to_staff: list[bool] = []

    def follow(proof: Proof) -> None:
        if proof.claim:
            left_to_staff.append(not settle_by_phone(proof.claim, proof.account))
        else:
            _follow(proof)

    account = verify_login_code(
        phone=phone, browser=browser, typed=typed, address=address, on_proof=follow
    )
    if any(left_to_staff):
        raise AccountError("claim_waits")
    return account


@transaction.atomic
def prove_by_link(account: User) -> bool:
    """Take the use of a link that was sent to an account's own email as a proof of that email.

    Return whether it is the account's first proof. No session begins or ends. One statement for an
    account that is proven already.
    """
    if account.verified_at is not None or not prove_email(account):
        return False
    _follow(Proof(account, is_first=True, ends_sessions=False))
    return True


def _follow(proof: Proof) -> None:
    account = proof.account
    if proof.is_first or proof.ends_sessions:
        lock_lists_of(account)
    if proof.ends_sessions:
        renew_tickets(account)
    if proof.is_first and account.email:
        _send_what_waited(account)


def _send_what_waited(account: User) -> None:
    waited = list(Guest.objects.on_lists_of(account).filter(event__requires_proof=True))
    emails = [email_about(guest, account) for guest in waited]
    queue_emails(emails)
    # Those that were queued before the event asked for a proof, and cancelled for want of it.
    causes = [email.cause for email in emails]
    cancelled = Email.objects.filter(kind="qr_code", state=Email.State.CANCELLED)
    requeue_emails(cancelled.filter(cause__in=causes), to=account.email)
