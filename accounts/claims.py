"""Claims on an account's phone: making one, and the holder's objection.

`guests.claims` decides claims, because the account's places on lists depend on the decision.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from accounts.exceptions import AccountError
from accounts.models import Claim, ClaimChange, User
from accounts.services import check_email_is_free, is_blocked
from accounts.suspicious import hash_personal, note_suspicious
from notifications.services import queue_email
from snap.addresses import normal_address

log = logging.getLogger(__name__)


def make_claim(
    account: User,
    *,
    first_name: str,
    last_name: str,
    email: str,
    language: str,
    browser: str,
    address: str,
    event_slug: str = "",
) -> Claim:
    """Store a claim on an account's phone and notify the holder by email. The account is unchanged.

    Return the claim, or the undecided one that this browser has made before. Raises AccountError:
    `too_many_claims` past CLAIMS_PER_ACCOUNT or CLAIMS_PER_NETWORK undecided claims on the account,
    `email_taken` when ACCOUNTS_PER_EMAIL other accounts have the claimant's email, `refused` for a
    blocked phone or an inactive account. Not for use inside a transaction.
    """
    note_suspicious("claim", phone=account.phone or "", address=address)
    claim = Claim(
        event_slug=event_slug,
        first_name=first_name,
        last_name=last_name,
        email=email,
        language=language,
        browser=browser,
        network_hash=hash_personal(normal_address(address)),
    )
    return _store(claim, account)


@transaction.atomic
def save_claim(account: User, claim: Claim) -> Claim:
    """Store a claim that was made while the database was away. Its network is not known.

    Return it, or the undecided one that its browser has made before. A claim that `make_claim`
    would refuse is stored as refused: staff see it, and no email is sent. For use inside a
    transaction; after that the caller notes the claim as suspicious.
    """
    try:
        return _store(claim, account)
    except AccountError as error:
        claim.account = account
        claim.state = Claim.State.REFUSED
        claim.decided_at = Now()
        claim.decided_by = error.code
        claim.save()
        ClaimChange.objects.create(claim=claim, to_state=claim.state, actor=error.code)
        log.warning("claim_refused", extra={"account_id": account.pk, "code": error.code})
        return claim


@transaction.atomic
def _store(claim: Claim, account: User) -> Claim:
    claim.account = User.objects.select_for_update(no_key=True).get(pk=account.pk)
    if not claim.account.is_active or is_blocked(claim.account.phone or ""):
        raise AccountError("refused")
    undecided = Claim.objects.undecided().filter(account=claim.account)
    if earlier := undecided.filter(browser=claim.browser).first():
        return earlier
    of_network = undecided.filter(network_hash=claim.network_hash).exclude(network_hash="")
    is_full = undecided.count() >= settings.CLAIMS_PER_ACCOUNT
    if is_full or of_network.count() >= settings.CLAIMS_PER_NETWORK:
        raise AccountError("too_many_claims")
    check_email_is_free(claim.email, beside=claim.account)
    claim.is_announced = _may_notify_holder(claim.account)
    claim.save()
    ClaimChange.objects.create(claim=claim, to_state=claim.state, actor="claimant")
    if claim.is_announced:
        holder = claim.account
        queue_email("claim", f"claim:{claim.pk}", to=holder.email, language=holder.language)
    log.warning("claim_made", extra={"account_id": claim.account_id, "claim_id": claim.pk})
    return claim


def _may_notify_holder(account: User) -> bool:
    """Return whether one more email about claims may go to the holder within 24 hours."""
    announced = account.claims.filter(is_announced=True, created_at__gt=Now() - timedelta(days=1))
    return bool(account.email) and announced.count() < settings.CLAIM_EMAILS_A_DAY


def latest_claim(account: User, browser: str) -> Claim | None:
    """Return the newest claim that a browser has made on an account, or None."""
    made = Claim.objects.filter(account=account, browser=browser)
    return made.exclude(browser="").order_by("-pk").first()


def object_to(claim: Claim) -> Claim:
    """Record the holder's objection to an open claim. Return the claim with its current state."""
    return _move(claim, Claim.State.OPEN, Claim.State.OBJECTED)


def withdraw_objection(claim: Claim) -> Claim:
    """Withdraw the holder's objection. Return the claim with its current state."""
    return _move(claim, Claim.State.OBJECTED, Claim.State.OPEN)


@transaction.atomic
def _move(claim: Claim, from_state: str, to_state: str) -> Claim:
    """Move a claim to another state if it is in `from_state`, under its account's lock."""
    User.objects.select_for_update(no_key=True).get(pk=claim.account_id)
    claim = Claim.objects.select_related("account").get(pk=claim.pk)
    if claim.state == from_state:
        claim.move_to(to_state, actor="holder")
    return claim


def was_objected_to(claim: Claim) -> bool:
    """Return whether the holder has ever objected, even if the objection was withdrawn."""
    return claim.changes.filter(to_state=Claim.State.OBJECTED).exists()
