"""Proofs by a code or a link, and what follows for claims and QR codes."""

from collections.abc import Iterable

from django.db import transaction

from accounts.exceptions import AccountError
from accounts.login_codes import Proof, latest_code, prove_email, verify_login_code
from accounts.models import User
from guests.claims.services import lock_lists_of, renew_tickets, settle_by_phone
from guests.models import Guest
from guests.qr.codes import fill_pool
from guests.requests.pushes import push_places_changed
from guests.requests.waiting_list import email_about
from notifications.models import Email
from notifications.services import queue_emails, requeue_emails


def prove_by_code(*, phone: str, browser: str, typed: str, address: str) -> User:
    """Return the account that a code proves. Settle the claim for which the code was sent, if any.

    Raises AccountError as `verify_login_code` does, and `claim_waits` if the code is right and
    staff have to decide the claim. Not for use inside a transaction.
    """
    code = latest_code(phone, browser)
    if code and code.claim:
        fill_pool(Guest.objects.on_lists_of(code.account).count())
    is_left_to_staff = False

    def follow(proof: Proof) -> None:
        nonlocal is_left_to_staff
        if proof.claim:
            is_left_to_staff = not settle_by_phone(proof.claim, proof.account)
        else:
            follow_proof(proof)

    account = verify_login_code(
        phone=phone, browser=browser, typed=typed, address=address, on_proof=follow
    )
    if is_left_to_staff:
        raise AccountError("claim_waits")
    return account


@transaction.atomic
def prove_by_link(account: User) -> bool:
    """Prove the account's email, since a link that was sent to it has been opened.

    Return whether this is the account's first proof. Sessions neither begin nor end. One statement
    for an account that is proven already.
    """
    if account.verified_at is not None or not prove_email(account):
        return False
    follow_proof(Proof(account, is_first=True, ends_sessions=False))
    return True


def follow_proof(proof: Proof) -> None:
    """Renew tickets and send the QR emails that waited, as a proof of an account requires.

    The caller has locked the account, or proves it in this transaction.
    """
    account = proof.account
    if proof.is_first or proof.ends_sessions:
        lock_lists_of(account)
    if proof.ends_sessions:
        renew_tickets(account)
    if proof.is_first:
        withheld = Guest.objects.on_lists_of(account).filter(event__requires_proof=True)
        push_places_changed(withheld)
        if account.email:
            _send_withheld_emails(account, withheld)


def _send_withheld_emails(account: User, guests: Iterable[Guest]) -> None:
    """Queue the emails about QR codes that waited for the account's first proof."""
    emails = []
    causes = []
    for guest in guests:
        email = email_about(guest, account)
        emails.append(email)
        causes.append(email.cause)
    queue_emails(emails)
    # Some were queued before the event required a proof, and then cancelled.
    cancelled = Email.objects.filter(kind="qr_code", state=Email.State.CANCELLED)
    requeue_emails(cancelled.filter(cause__in=causes), to=account.email)
