"""Decisions about claims on a phone.

A granted claim moves the account and its places to the claimant. Undoing it gives them back.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Now
from django.utils import timezone

from accounts.exceptions import AccountError
from accounts.login_codes import void_codes
from accounts.models import Claim, User
from accounts.services import check_email_is_free
from guests.actor import acting_as
from guests.models import Event, Guest, GuestRequest
from guests.qr.codes import (
    delete_image_after_commit,
    fill_pool,
    image_name,
    new_tokens,
    store_image,
    take_from_pool,
)
from guests.requests.waiting_list import email_about
from notifications.models import Email
from notifications.services import EmailToQueue, queue_emails

log = logging.getLogger(__name__)

# The account's fields that a granted claim replaces.
PERSON_FIELDS = ["first_name", "last_name", "email", "language"]
SESSION_FIELDS = ["session_nonce", "ended_sessions"]

# Requests that may still end, so an open page may follow their tickets. Staff replay dead ones.
OPEN_STATES = [GuestRequest.State.PENDING, GuestRequest.State.DEAD]
CLAIMS_BATCH = 100


def grant_claim(claim: Claim, *, acting_user: User) -> None:
    """Give the account to the claimant: names, email, and places under new QR codes.

    All sessions and login codes of the account end, and the claimant is not signed in. Raises
    AccountError: `claim_decided`, `email_taken` if ACCOUNTS_PER_EMAIL other accounts have the
    claimant's email, or `needs_superuser` for an account with rights in admin.
    """
    fill_pool(Guest.objects.on_lists_of(claim.account).count())
    with acting_as(acting_user):
        account, claim = _locked(claim, acting_user)
        _hand_over(claim, account, decided_by=f"account:{acting_user.pk}")


def refuse_claim(claim: Claim, *, acting_user: User) -> None:
    """Refuse a claim. The account stays as it is. Raises AccountError as `grant_claim` does."""
    with acting_as(acting_user):
        _, claim = _locked(claim, acting_user)
        _check(claim.is_undecided)
        _refuse(claim, decided_by=f"account:{acting_user.pk}")


def undo_claim(claim: Claim, *, acting_user: User) -> None:
    """Restore the account as it was before a granted claim, with the old QR codes.

    Guests that were made since then get new QR codes. Raises AccountError as `grant_claim` does.
    The code is `claim_decided` also if a later claim on the account was granted: that one has to be
    undone first.
    """
    _store_missing_images(_saved_guests(claim))
    fill_pool(Guest.objects.on_lists_of(claim.account).count())
    with acting_as(acting_user):
        account, claim = _locked(claim, acting_user)
        granted = account.claims.filter(state=Claim.State.GRANTED)
        _check(claim == granted.order_by("decided_at", "pk").last())
        lock_lists_of(account)
        _restore_person(account, claim)
        saved_by_id: dict[int, dict[str, Any]] = {}
        for saved in _saved_guests(claim):
            saved_by_id[saved["id"]] = saved
        _change_holder(account, saved_by_id)
        claim.move_to(Claim.State.UNDONE, actor=f"account:{acting_user.pk}")
        _email_both_sides(claim, holder=account)
        log.warning("claim_undone", extra={"account_id": account.pk, "claim_id": claim.pk})


def _restore_person(account: User, claim: Claim) -> None:
    assert claim.taken
    for field in PERSON_FIELDS:
        setattr(account, field, claim.taken[field])
    account.verified_at = None
    if claim.taken["verified_at"]:
        account.verified_at = datetime.fromisoformat(claim.taken["verified_at"])
    account.proven_by = claim.taken["proven_by"]
    account.browser = claim.taken["browser"]


def settle_by_phone(claim: Claim, account: User) -> bool:
    """Grant a claim after the claimant's browser sent the code that went to the phone.

    Return False for an account with rights in admin: a superuser has to decide its claim. Raises
    AccountError: `code_expired` for a claim that is decided already, or `email_taken`. The caller
    has locked the account.
    """
    claim = Claim.objects.get(pk=claim.pk)
    if not claim.is_undecided:
        raise AccountError("code_expired")
    if account.has_powers:
        claim.move_to(claim.state, actor="phone")
        return False
    _hand_over(claim, account, decided_by="phone", proven_at=timezone.now())
    return True


def grant_unanswered_claims() -> int:
    """Grant at most CLAIMS_BATCH of `unanswered_claims`. Return how many were granted.

    A claim is refused if ACCOUNTS_PER_EMAIL other accounts have its email by now.
    """
    granted = 0
    for claim in unanswered_claims()[:CLAIMS_BATCH]:
        if _grant_unanswered(claim):
            granted += 1
    return granted


@transaction.atomic
def _grant_unanswered(claim: Claim) -> bool:
    """Grant or refuse a claim if it is still unanswered. Return whether it was granted."""
    account = User.objects.select_for_update(no_key=True).get(pk=claim.account_id)
    current = unanswered_claims().filter(pk=claim.pk).first()
    if current is None or account.has_powers:
        return False
    try:
        _hand_over(current, account, decided_by="time")
    except AccountError as error:
        if error.code != "email_taken":
            raise
        _refuse(current, decided_by="time")
        return False
    return True


def unanswered_claims() -> QuerySet[Claim]:
    """Return open claims that the holder has not answered in CLAIM_ANSWER_SECONDS, oldest first.

    The time starts when the email to the holder was sent, or with the claim if that email bounced.
    The accounts are unproven, have no rights in admin, no place and no pending request at events
    that are not over, and no second undecided claim. The time is the database's.
    """
    deadline = Now() - timedelta(seconds=settings.CLAIM_ANSWER_SECONDS)
    cause = Concat(Value("claim:"), Cast(OuterRef("pk"), CharField()))
    has_left = Q(sent_at__lte=deadline) | Q(state__in=[Email.State.BOUNCED, Email.State.DEAD])
    announcement = Email.objects.filter(has_left, kind="claim", cause=cause)
    places = Guest.objects.upcoming().filter(account=OuterRef("account"))
    pending = GuestRequest.objects.pending().filter(
        account=OuterRef("account"), event__ends_at__gt=Now()
    )
    rivals = Claim.objects.undecided().filter(account=OuterRef("account"))
    return Claim.objects.filter(
        Exists(announcement),
        ~Exists(places),
        ~Exists(pending),
        ~Exists(rivals.exclude(pk=OuterRef("pk"))),
        state=Claim.State.OPEN,
        is_announced=True,
        created_at__lte=deadline,
        account__verified_at=None,
        account__is_active=True,
        account__is_staff=False,
        account__is_superuser=False,
    ).order_by("pk")


def may_decide(account: User, acting_user: User) -> bool:
    """Return whether a staff member may decide claims on an account. At most two queries."""
    return acting_user.is_superuser or not account.has_powers


def _locked(claim: Claim, acting_user: User) -> tuple[User, Claim]:
    """Lock the account of a claim. Return it, and the claim as read under that lock."""
    account = User.objects.select_for_update(no_key=True).get(pk=claim.account_id)
    if not may_decide(account, acting_user):
        raise AccountError("needs_superuser")
    return account, Claim.objects.get(pk=claim.pk)


def _check(is_decidable: bool) -> None:
    if not is_decidable:
        raise AccountError("claim_decided")


def _hand_over(
    claim: Claim, account: User, *, decided_by: str, proven_at: datetime | None = None
) -> None:
    """Make the claimant the holder of a locked account. Save the replaced values in the claim."""
    _check(claim.is_undecided)
    # This locks the email. It comes before the lists, in the same order as in a registration.
    check_email_is_free(claim.email, beside=account)
    lock_lists_of(account)
    saved = _saved_account(account)
    previous_holder = User(pk=account.pk, **_person(account))
    claim.move_to(
        Claim.State.GRANTED,
        actor=decided_by,
        decided_at=timezone.now(),
        decided_by=decided_by,
        taken=saved,
    )
    for field in PERSON_FIELDS:
        setattr(account, field, getattr(claim, field))
    account.browser = claim.browser
    account.verified_at = proven_at
    account.proven_by = ""
    if proven_at:
        account.proven_by = User.ProvenBy.SMS
    _change_holder(account, {})
    for rival in Claim.objects.undecided().filter(account=account):
        _refuse(rival, decided_by=f"claim:{claim.pk}", tells_holder=False)
    _email_both_sides(claim, holder=previous_holder)
    log.warning("claim_granted", extra={"account_id": account.pk, "claim_id": claim.pk})


def lock_lists_of(account: User) -> None:
    """Lock the events at which an account has a guest or a request, in the order of their ids.

    Workers hold these locks while they end requests. After this call, guests that they have made
    for the account are visible. Guests that they make later see the account as committed.
    """
    has_account = Q(guestrequest__account=account) | Q(guest__account=account)
    event_ids = Event.objects.filter(has_account).order_by("pk").values_list("pk", flat=True)
    for event_id in event_ids.distinct():
        Event.objects.locked(event_id).get()


def renew_tickets(account: User) -> None:
    """Give new ticket ids to an account's requests that may still end.

    Sockets of ended sessions follow the old ids, so they receive nothing more. Browsers that
    registered the account during an outage are not signed in afterwards.
    """
    requests = GuestRequest.objects.filter(account=account)
    requests.exclude(browser="").update(browser="")
    for request in requests.filter(state__in=OPEN_STATES):
        request.ticket_id = uuid4()
        request.save(update_fields=["ticket_id"])


def _person(account: User) -> dict[str, Any]:
    return {field: getattr(account, field) for field in PERSON_FIELDS}


def _saved_account(account: User) -> dict[str, Any]:
    """Return the values that a granted claim replaces, as JSON for `Claim.taken`."""
    saved = _person(account)
    saved["verified_at"] = None
    if account.verified_at:
        saved["verified_at"] = account.verified_at.isoformat()
    saved["proven_by"] = account.proven_by
    saved["browser"] = account.browser
    guests = Guest.objects.filter(account=account).order_by("pk")
    saved["guests"] = list(guests.values("id", "name", "qr_token", "listings"))
    return saved


def _saved_guests(claim: Claim) -> list[dict[str, Any]]:
    """Return the guests in `Claim.taken`: id, name, qr_token and listings of each."""
    if claim.taken is None:
        return []
    guests: list[dict[str, Any]] = claim.taken.get("guests", [])
    return guests


def _change_holder(account: User, saved_by_id: Mapping[int, dict[str, Any]]) -> None:
    """Store the new holder of a locked account, and rename and re-code the account's guests.

    Sessions, login codes and the password end. `saved_by_id` has the earlier names and QR tokens of
    guests that are given back. Other guests get the account's name, and a new QR code if they are
    on a list. The caller has locked the lists.
    """
    account.renew_sessions()
    if account.has_usable_password():
        account.set_unusable_password()
    changed = ["verified_at", "proven_by", "browser", "password"]
    account.save(update_fields=[*PERSON_FIELDS, *SESSION_FIELDS, *changed])
    void_codes(account)
    GuestRequest.objects.filter(account=account, state__in=OPEN_STATES).update(name=account.name)
    renew_tickets(account)
    guests = Guest.objects.filter(account=account).select_related("event").order_by("pk")
    listed = []
    for guest in guests:
        saved = saved_by_id.get(guest.pk, {})
        guest.account = account
        guest.name = saved.get("name", account.name)
        guest.leaves_at = None
        guest.save(update_fields=["name", "leaves_at"])
        if guest.is_on_list:
            listed.append((guest, saved.get("qr_token")))
    replace_codes(listed)
    if account.email:
        emails = []
        for guest, _ in listed:
            if not guest.is_withheld:
                emails.append(email_about(guest, account))
        queue_emails(emails)


def replace_codes(listed: list[tuple[Guest, str | None]]) -> None:
    """Give each guest the QR token beside it, or a new one."""
    missing = 0
    for _, token in listed:
        if not token:
            missing += 1
    new_tokens = _new_tokens(missing)
    for guest, token in listed:
        _replace_code(guest, token or new_tokens.pop())


def _new_tokens(count: int) -> list[str]:
    tokens = take_from_pool(count)
    # Another transaction may have emptied the pool.
    return tokens + new_tokens(count - len(tokens))


def _replace_code(guest: Guest, token: str) -> None:
    """Give a guest on a list another QR code. It counts as a new listing, so an email is sent."""
    old_token = guest.qr_token
    guest.qr_token = token
    guest.listings += 1
    guest.save(update_fields=["qr_token", "listings"])
    if old_token and old_token != token:
        delete_image_after_commit(old_token)


def _store_missing_images(saved_guests: list[dict[str, Any]]) -> None:
    for saved in saved_guests:
        token = saved["qr_token"]
        if token and not default_storage.exists(image_name(token)):
            store_image(token)


def _refuse(claim: Claim, *, decided_by: str, tells_holder: bool = True) -> None:
    claim.move_to(
        Claim.State.REFUSED,
        actor=decided_by,
        decided_at=timezone.now(),
        decided_by=decided_by,
    )
    holder = None
    if tells_holder and claim.is_announced:
        holder = claim.account
    _email_both_sides(claim, holder=holder)
    log.info("claim_refused", extra={"account_id": claim.account_id, "claim_id": claim.pk})


def _email_both_sides(claim: Claim, *, holder: User | None) -> None:
    """Queue the emails about a decision to the claimant and, if given, the holder."""
    # Anyone can type an address into a claim, so `by_stranger` limits the emails to it.
    emails = [_decision_email(claim, "claimant", claim, by_stranger=True)]
    if holder and holder.email:
        emails.append(_decision_email(claim, "holder", holder, by_stranger=False))
    queue_emails(emails)


def _decision_email(
    claim: Claim, side: str, person: Claim | User, *, by_stranger: bool
) -> EmailToQueue:
    return EmailToQueue(
        kind="claim_decided",
        cause=f"claim:{claim.pk}/{claim.state}/{side}",
        to=person.email,
        language=person.language,
        by_stranger=by_stranger,
    )
