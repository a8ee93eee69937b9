"""Claims on an account's phone: making one, and the holder's objection.

`guests.claims` decides them: what an account has, it has on lists.
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
    """Keep a claim on an account's phone and tell the holder by email. The account stays as it is.

    Return the claim, or the undecided one that this browser has made before. Raises AccountError:
    `too_many_claims` past CLAIMS_PER_ACCOUNT or CLAIMS_PER_NETWORK undecided claims on the account,
    `email_taken` when ACCOUNTS_PER_EMAIL other accounts have the claimant's email, `refused` for a
    blocked phone or an account that was switched off. Not for use inside a transaction.
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
    """Keep a claim that was written while the database was away, from a network that nobody knows.

    Return it, or the undecided one that its browser has made before. One that `make_claim` would
    not take is kept as refused: staff see what was written, and nobody gets an email. Made for use
    inside a transaction: note the claim as suspicious after that.
    """
    try:
        return _store(claim, account)
    except AccountError as error:
        refused = Claim.State.REFUSED
        claim.account, claim.state = account, refused
        claim.decided_at, claim.decided_by = Now(), error.code
        claim.save()
        ClaimChange.objects.create(claim=claim, to_state=refused, actor=error.code)
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
    claim.is_announced = _may_tell_holder(claim.account)
    claim.save()
    ClaimChange.objects.create(claim=claim, to_state=claim.state, actor="claimant")
    if claim.is_announced:
        holder = claim.account
        queue_email("claim", f"claim:{claim.pk}", to=holder.email, language=holder.language)
    log.warning("claim_made", extra={"account_id": claim.account_id, "claim_id": claim.pk})
    return claim


def _may_tell_holder(account: User) -> bool:
    """Say whether one more email about claims may go to the holder today."""
    told = account.claims.filter(is_announced=True, created_at__gt=Now() - timedelta(days=1))
    return bool(account.email) and told.count() < settings.CLAIM_EMAILS_A_DAY


def latest_claim(account: User, browser: str) -> Claim | None:
    """Return the claim that a browser has made last on an account."""
    made = Claim.objects.filter(account=account, browser=browser)
    return made.exclude(browser="").order_by("-pk").first()


def object_to(claim: Claim) -> Claim:
    """Record the holder's objection to an open claim, and return the claim as it then stands."""
    return _move(claim, Claim.State.OPEN, Claim.State.OBJECTED)


def withdraw_objection(claim: Claim) -> Claim:
    """Take the holder's objection back, and return the claim as it then stands."""
    return _move(claim, Claim.State.OBJECTED, Claim.State.OPEN)


@transaction.atomic
def _move(claim: Claim, from_state: str, to_state: str) -> Claim:
    User.objects.select_for_update(no_key=True).get(pk=claim.account_id)
    claim = Claim.objects.select_related("account").get(pk=claim.pk)
    if claim.state == from_state:
        claim.move_to(to_state, actor="holder")
    return claim


def was_objected_to(claim: Claim) -> bool:
    """Say whether the holder has objected before, also when the objection was taken back."""
    return claim.changes.filter(to_state=Claim.State.OBJECTED).exists()
