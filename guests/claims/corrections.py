"""A corrected email: the account gets it, and so do the emails about its places.

A QR code that went to an unproven address may be in the mailbox of a stranger, so the place gets a
new one. Nothing changes hands: the account, its places and its sessions stay as they are.
"""

from dataclasses import replace

from django.db import transaction
from django.db.models import Q

from accounts.email_changes import change_email, may_change_directly
from accounts.exceptions import AccountError
from accounts.login_codes import Proof, verify_login_code
from accounts.models import EmailChange, User
from guests.actor import acting_as
from guests.claims.proof import follow_proof
from guests.claims.services import lock_lists_of, replace_codes
from guests.models import NEWS_KINDS, Guest, StaffAction, list_message_causes, news_causes
from guests.qr.codes import fill_pool
from guests.requests.pushes import push_places_changed
from guests.requests.waiting_list import email_about
from notifications.models import Email, EmailResend
from notifications.services import queue_emails, requeue_emails
from snap.mail_addresses import readable_address

# The length of the detail of a StaffAction.
MAX_DETAIL = 300
# An email in one of these states never left, unless it was sent and then queued again.
UNSENT_STATES = {Email.State.QUEUED, Email.State.CANCELLED, Email.State.DEAD}
# An email that staff send again had one of these states before if somebody may have read it.
SEEN_STATES = {
    Email.State.SENT,
    Email.State.DELIVERED,
    Email.State.OPENED,
    Email.State.COMPLAINED,
}


def correct_email(account: User, email: str, *, browser: str) -> None:
    """Change the email of an unproven account, in the browser that registered it.

    Raises AccountError as `change_email` does, and `needs_proof` when the account was proven
    meanwhile. Not for use inside a transaction.
    """
    fill_pool(Guest.objects.on_lists_of(account).count())
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=account.pk)
        if not may_change_directly(locked, browser):
            raise AccountError("needs_proof")
        _correct(locked, email, browser, proof=EmailChange.Proof.BROWSER)


def correct_email_by_code(
    account: User, email: str, *, browser: str, typed: str, address: str
) -> User:
    """Change the email of an account with a code that was sent to this browser. Return it.

    The code is used only if the email is changed. Raises AccountError as `verify_login_code` and
    `change_email` do. Not for use inside a transaction.
    """
    fill_pool(Guest.objects.on_lists_of(account).count())

    def follow(proof: Proof) -> None:
        if proof.claim:
            raise AccountError("code_expired")
        follow_proof(proof)
        _correct(proof.account, email, browser, proof=EmailChange.Proof.CODE)

    return verify_login_code(
        phone=account.phone or "",
        browser=browser,
        typed=typed,
        address=address,
        on_proof=follow,
    )


def correct_email_by_staff(guest: Guest, email: str, *, acting_user: User) -> None:
    """Change the email of a guest's account, and send the emails about its places there.

    The new address is not proven. Raises AccountError as `change_email` does. Not for use inside a
    transaction.
    """
    fill_pool(Guest.objects.on_lists_of(guest.account).count())
    with acting_as(acting_user):
        account = User.objects.select_for_update(no_key=True).get(pk=guest.account_id)
        before = readable_address(account.email) or "–"
        _correct(account, email, None, proof=EmailChange.Proof.STAFF)
        StaffAction.objects.create(
            guest=guest,
            kind=StaffAction.Kind.CORRECTED,
            detail=f"{before} → {readable_address(email)}"[:MAX_DETAIL],
            account=acting_user,
        )


def _correct(account: User, email: str, browser: str | None, *, proof: str) -> None:
    """Change the email of a locked account, and send the emails about its places there."""
    change = change_email(account, email, browser=browser, proof=proof)
    lock_lists_of(account)
    # Those at cancelled events too: the event can be reinstated, and then their emails are sent.
    guests = Guest.objects.upcoming().filter(account=account)
    places = list(guests.filter(checked_in_at=None).select_related("event").order_by("pk"))
    exposed = []
    if not change.was_proven:
        exposed = _exposed(places)
    for guest in places:
        guest.account = account
        if guest not in exposed:
            # A new number of listings replaces the emails that are queued or being sent.
            guest.listings += 1
            guest.save(update_fields=["listings"])
    replace_codes([(guest, None) for guest in exposed])
    queue_emails(
        # Anyone can type an address, so `by_stranger` limits the emails to it.
        replace(email_about(guest, account), by_stranger=_is_by_stranger(change))
        for guest in places
        if not guest.is_leaving and not (guest.is_on_list and guest.is_withheld)
    )
    _readdress_news(places, account)
    push_places_changed(places)


def _readdress_news(places: list[Guest], account: User) -> None:
    """Send what has not arrived to the new address: news of events, and messages to lists."""
    is_news = Q(kind__in=NEWS_KINDS, cause__in=news_causes(places))
    is_message = Q(kind="list_message", cause__in=list_message_causes(places))
    news = Email.objects.filter(is_news | is_message)
    waiting = news.filter(state=Email.State.QUEUED, leased_until=None, unsure_provider="")
    waiting.update(to=account.email)
    requeue_emails(news.filter(state__in=[Email.State.BOUNCED, Email.State.DEAD]), to=account.email)


def _is_by_stranger(change: EmailChange) -> bool:
    """Return whether the address may be anybody's: neither the holder's proof nor staff say so."""
    return not change.was_proven and change.proof != EmailChange.Proof.STAFF


def _exposed(places: list[Guest]) -> list[Guest]:
    """Return the guests on a list whose QR code may have left for the address from before.

    Locks the rows of the emails: no worker takes up one of them until the transaction ends, and
    then its cause is no longer that of the place.
    """
    listed = {f"guest:{guest.pk}/{guest.listings}": guest for guest in places if guest.is_on_list}
    emails = Email.objects.filter(kind="qr_code", cause__in=listed).order_by("pk")
    exposed = []
    for email in emails.select_for_update(no_key=True):
        if _may_have_left(email):
            exposed.append(listed[email.cause])
    return exposed


def _may_have_left(email: Email) -> bool:
    """Return whether somebody may have received an email, at any time. One query if it bounced."""
    if email.delivered_at or email.opened_at:
        # A mail server took it, and sent it back later.
        return True
    if email.state == Email.State.BOUNCED:
        return EmailResend.objects.filter(email=email, from_state__in=SEEN_STATES).exists()
    if email.state not in UNSENT_STATES or email.sent_at is not None:
        return True
    # After an error, such as a lost connection, the mail server may have the email all the same.
    has_failed = email.state == Email.State.QUEUED and email.error != ""
    return email.leased_until is not None or has_failed
