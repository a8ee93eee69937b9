"""Deciding claims on a phone: an account and its places change hands, and can be given back."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
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
    delete_image,
    fill_pool,
    image_name,
    make_token,
    store_image,
    take_from_pool,
)
from guests.requests.places import email_about
from notifications.models import Email
from notifications.services import EmailToQueue, queue_emails

log = logging.getLogger(__name__)

# What an account is known by, and what a granted claim replaces.
PERSON = ["first_name", "last_name", "email", "language"]
SESSIONS = ["session_nonce", "ended_sessions"]

# Requests whose tickets an open page may still follow: staff replay dead ones.
FOLLOWED = [GuestRequest.State.PENDING, GuestRequest.State.DEAD]


def grant_claim(claim: Claim, *, acting_user: User) -> None:
    """Give the claimant the account: names, email, places under new QR codes. Nobody is signed in.

    The sessions and codes that there were end. Raises AccountError `claim_decided`, `email_taken`
    when others have taken the claimant's email as often as one may, and `needs_superuser` for an
    account that may do something in admin.
    """
    fill_pool(Guest.objects.on_lists_of(claim.account).count())
    with acting_as(acting_user):
        account, claim = _locked(claim, acting_user)
        _hand_over(claim, account, decided_by=f"account:{acting_user.pk}")


def refuse_claim(claim: Claim, *, acting_user: User) -> None:
    """End a claim without a change. Raises AccountError as `grant_claim` does."""
    with acting_as(acting_user):
        _, claim = _locked(claim, acting_user)
        _require(claim.is_undecided)
        _refuse(claim, decided_by=f"account:{acting_user.pk}")


def undo_claim(claim: Claim, *, acting_user: User) -> None:
    """Give back all that a granted claim has taken, the old QR codes included.

    Guests made since then get new QR codes. Raises AccountError as `grant_claim` does, also when a
    later claim on the account was granted: that one has to be undone first.
    """
    tokens = {guest["id"]: guest["qr_token"] for guest in _guests_taken(claim)}
    _store_missing_images([token for token in tokens.values() if token])
    fill_pool(Guest.objects.on_lists_of(claim.account).count())
    with acting_as(acting_user):
        account, claim = _locked(claim, acting_user)
        last = account.claims.filter(state=Claim.State.GRANTED).order_by("decided_at", "pk").last()
        _require(claim == last)
        assert claim.taken
        lock_lists_of(account)
        for field in PERSON:
            setattr(account, field, claim.taken[field])
        proven = claim.taken["verified_at"]
        account.verified_at = datetime.fromisoformat(proven) if proven else None
        account.proven_by = claim.taken["proven_by"]
        account.browser = claim.taken["browser"]
        _give_places(account, {guest["id"]: guest for guest in _guests_taken(claim)})
        claim.move_to(Claim.State.UNDONE, actor=f"account:{acting_user.pk}")
        _email_both_sides(claim, holder=account)
        log.warning("claim_undone", extra={"account_id": account.pk, "claim_id": claim.pk})


def settle_by_phone(claim: Claim, account: User) -> bool:
    """Grant a claim whose code, sent to the phone itself, was typed in the claimant's browser.

    Return False for an account that may do something in admin: its claim stays with a superuser.
    Raises AccountError `code_expired` for a claim that was decided, and `email_taken`. The caller
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
    """Grant the claims that nobody has answered in time, and return how many.

    Their accounts are unproven, have no powers and no place on an event ahead. A claim whose email
    others have taken meanwhile as often as one may is refused.
    """
    granted = 0
    for claim in unanswered_claims()[:100]:
        with transaction.atomic():
            account = User.objects.select_for_update(no_key=True).get(pk=claim.account_id)
            still = unanswered_claims().filter(pk=claim.pk).first()
            if still and not account.has_powers:
                granted += _grant_or_refuse(still, account)
    return granted


def _grant_or_refuse(claim: Claim, account: User) -> int:
    """Return 1 for a claim that is granted, 0 for one that its email keeps from that."""
    try:
        _hand_over(claim, account, decided_by="time")
    except AccountError as error:
        if error.code != "email_taken":
            raise
        _refuse(claim, decided_by="time")
        return 0
    return 1


def unanswered_claims() -> QuerySet[Claim]:
    """Open claims to which their accounts give way, by the database's clock, the oldest first.

    The time runs from the moment at which the email to the holder left. An email that the holder's
    address did not take counts from the claim on. Of two claims on one account neither passes.
    """
    deadline = Now() - timedelta(seconds=settings.CLAIM_ANSWER_SECONDS)
    cause = Concat(Value("claim:"), Cast(OuterRef("pk"), CharField()))
    has_left = Q(sent_at__lte=deadline) | Q(state__in=[Email.State.BOUNCED, Email.State.DEAD])
    told = Email.objects.filter(has_left, kind="claim", cause=cause)
    places = Guest.objects.upcoming().filter(account=OuterRef("account"))
    pending = GuestRequest.objects.pending().filter(
        account=OuterRef("account"), event__ends_at__gt=Now()
    )
    rivals = Claim.objects.undecided().filter(account=OuterRef("account"))
    return Claim.objects.filter(
        Exists(told),
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
    """Say whether somebody may decide claims on an account. At most two queries."""
    return acting_user.is_superuser or not account.has_powers


def _locked(claim: Claim, acting_user: User) -> tuple[User, Claim]:
    """Return the account of a claim, locked, and the claim as it is under that lock."""
    account = User.objects.select_for_update(no_key=True).get(pk=claim.account_id)
    if not may_decide(account, acting_user):
        raise AccountError("needs_superuser")
    return account, Claim.objects.get(pk=claim.pk)


def _require(is_possible: bool) -> None:
    if not is_possible:
        raise AccountError("claim_decided")


def _hand_over(
    claim: Claim, account: User, *, decided_by: str, proven_at: datetime | None = None
) -> None:
    """Make the claimant the holder of a locked account, and keep what that replaces."""
    _require(claim.is_undecided)
    # Before the lists: whoever registers holds this lock while waiting for a list.
    check_email_is_free(claim.email, beside=account)
    lock_lists_of(account)
    holder = User(pk=account.pk, **{field: getattr(account, field) for field in PERSON})
    claim.move_to(
        Claim.State.GRANTED,
        actor=decided_by,
        decided_at=timezone.now(),
        decided_by=decided_by,
        taken=_what_is_taken(account),
    )
    for field in PERSON:
        setattr(account, field, getattr(claim, field))
    account.verified_at, account.browser = proven_at, claim.browser
    account.proven_by = User.ProvenBy.SMS if proven_at else ""
    _give_places(account, {})
    for rival in Claim.objects.undecided().filter(account=account):
        _refuse(rival, decided_by=f"claim:{claim.pk}", tells_holder=False)
    _email_both_sides(claim, holder=holder)
    log.warning("claim_granted", extra={"account_id": account.pk, "claim_id": claim.pk})


def lock_lists_of(account: User) -> None:
    """Lock the events at which an account has a guest or a request, in the order of their keys.

    Workers hold the same locks while they end requests: what they have made for the account is
    visible after this, and what they have yet to make sees the account as it is after the commit.
    """
    concerned = Q(guestrequest__account=account) | Q(guest__account=account)
    event_ids = Event.objects.filter(concerned).order_by("pk").values_list("pk", flat=True)
    for event_id in event_ids.distinct():
        Event.objects.locked(event_id).get()


def renew_tickets(account: User) -> None:
    """Give an account's requests that have not ended new ticket ids.

    Sockets of sessions that have ended follow the old ids and hear nothing more. Browsers that
    registered in an emergency do not get the account back.
    """
    requests = GuestRequest.objects.filter(account=account)
    requests.exclude(browser="").update(browser="")
    for request in requests.filter(state__in=FOLLOWED):
        request.ticket_id = uuid4()
        request.save(update_fields=["ticket_id"])


def _what_is_taken(account: User) -> dict[str, Any]:
    guests = Guest.objects.filter(account=account).order_by("pk")
    return {
        **{field: getattr(account, field) for field in PERSON},
        "verified_at": account.verified_at.isoformat() if account.verified_at else None,
        "proven_by": account.proven_by,
        "browser": account.browser,
        "guests": [
            {
                "id": guest.pk,
                "name": guest.name,
                "qr_token": guest.qr_token,
                "listings": guest.listings,
            }
            for guest in guests
        ],
    }


def _guests_taken(claim: Claim) -> list[dict[str, Any]]:
    return list((claim.taken or {}).get("guests", []))


def _give_places(account: User, given_back: Mapping[int, dict[str, Any]]) -> None:
    """Store the new holder of a locked account, and give the holder the account's places.

    The caller has locked the lists. Sessions, codes and the password end. Each guest on a list gets
    a QR code of its own: the one in `given_back` (by guest), else a new one.
    """
    account.renew_sessions()
    if account.has_usable_password():
        account.set_unusable_password()
    changed = ["verified_at", "proven_by", "browser", "password"]
    account.save(update_fields=[*PERSON, *SESSIONS, *changed])
    void_codes(account)
    GuestRequest.objects.filter(account=account, state__in=FOLLOWED).update(name=account.name)
    renew_tickets(account)
    guests = list(Guest.objects.filter(account=account).select_related("event").order_by("pk"))
    for guest in guests:
        guest.account = account
        guest.name = given_back.get(guest.pk, {}).get("name", account.name)
        guest.save(update_fields=["name"])
    listed = [guest for guest in guests if guest.is_on_list]
    old_tokens = {guest.pk: given_back.get(guest.pk, {}).get("qr_token") for guest in listed}
    tokens = _new_tokens(sum(not token for token in old_tokens.values()))
    for guest in listed:
        _replace_code(guest, old_tokens[guest.pk] or tokens.pop())
    if account.email:
        queue_emails([email_about(guest, account) for guest in listed if not guest.is_withheld])


def _new_tokens(count: int) -> list[str]:
    tokens = take_from_pool(count)
    for _ in range(count - len(tokens)):
        # Others have emptied the pool: the image is drawn after the commit.
        tokens.append(make_token())
        transaction.on_commit(partial(store_image, tokens[-1]), robust=True)
    return tokens


def _replace_code(guest: Guest, token: str) -> None:
    """Give a guest on a list another QR code, as one more listing: its email has not gone yet."""
    old, guest.qr_token, guest.listings = guest.qr_token, token, guest.listings + 1
    guest.save(update_fields=["qr_token", "listings"])
    if old and old != token:
        transaction.on_commit(partial(delete_image, old), robust=True)


def _store_missing_images(tokens: list[str]) -> None:
    for token in tokens:
        if not default_storage.exists(image_name(token)):
            store_image(token)


def _refuse(claim: Claim, *, decided_by: str, tells_holder: bool = True) -> None:
    claim.move_to(
        Claim.State.REFUSED,
        actor=decided_by,
        decided_at=timezone.now(),
        decided_by=decided_by,
    )
    _email_both_sides(claim, holder=claim.account if tells_holder and claim.is_announced else None)
    log.info("claim_refused", extra={"account_id": claim.account_id, "claim_id": claim.pk})


def _email_both_sides(claim: Claim, *, holder: User | None) -> None:
    """Queue the emails about a decision: to the claimant, and to the holder before or after it."""
    sides: dict[str, Claim | User] = {"claimant": claim}
    if holder and holder.email:
        sides["holder"] = holder
    queue_emails(
        [
            EmailToQueue(
                kind="claim_decided",
                cause=f"claim:{claim.pk}/{claim.state}/{side}",
                to=person.email,
                language=person.language,
                # Anybody may have typed the claimant's address.
                by_stranger=side == "claimant",
            )
            for side, person in sides.items()
        ]
    )
