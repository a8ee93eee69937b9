"""What a proof changes on the lists: QR codes that waited for it, and those that a squatter saw."""

from functools import partial
from uuid import uuid4

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from accounts.services import Proof, latest_code, verify_login_code
from notifications.models import Email
from notifications.services import queue_emails, requeue_emails

from . import qr
from .models import Event, Guest, GuestRequest
from .services import email_about


def prove_by_code(*, phone: str, browser: str, typed: str, address: str) -> User:
    """Return the account that a code has proven, its places then being its owner's alone.

    Raises AccountError as `verify_login_code` does. Not for use inside a transaction.
    """
    code = latest_code(phone, browser)
    if code and code.claim:
        qr.fill_pool(_places(code.account).count())
    return verify_login_code(
        phone=phone, browser=browser, typed=typed, address=address, follow=_follow
    )


def _places(account: User) -> QuerySet[Guest]:
    return Guest.objects.filter(account=account, state=Guest.State.ON_LIST)


def _follow(proof: Proof) -> None:
    if not proof.is_first:
        return
    account = proof.account
    # Whoever ends requests holds these locks: what they made of this account is there to see, and
    # what they have yet to make will be made for the proven one.
    requests = GuestRequest.objects.filter(account=account)
    concerned = Q(guestrequest__account=account) | Q(guest__account=account)
    event_ids = Event.objects.filter(concerned).order_by("pk").values_list("pk", flat=True)
    for event_id in event_ids.distinct():
        Event.objects.locked(event_id).get()
    if proof.ends_sessions:
        requests.exclude(browser="").update(browser="")
    if proof.is_claim:
        _hand_over(account)
    _send_what_waited(account)


def _hand_over(account: User) -> None:
    """Give the places of an account to its new owner: new names, tickets and QR codes.

    Sockets that the squatter has open follow the old ticket ids, and hear nothing more.
    """
    Guest.objects.filter(account=account).update(name=account.name)
    for request in GuestRequest.objects.pending().filter(account=account):
        request.name, request.ticket_id = account.name, uuid4()
        request.save(update_fields=["name", "ticket_id"])
    guests = list(_places(account).order_by("pk"))
    tokens = qr.take_from_pool(len(guests))
    for _ in guests[len(tokens) :]:
        # Others have emptied the pool: the image is drawn after the commit.
        tokens.append(qr.make_token())
        transaction.on_commit(partial(qr.store_image, tokens[-1]), robust=True)
    for guest, token in zip(guests, tokens, strict=True):
        _replace_code(guest, token)
    queue_emails([email_about(guest, account) for guest in guests])


def _replace_code(guest: Guest, token: str) -> None:
    old, guest.qr_token, guest.listings = guest.qr_token, token, guest.listings + 1
    guest.save(update_fields=["qr_token", "listings"])
    if old:
        transaction.on_commit(lambda: qr.delete_image(old), robust=True)


def _send_what_waited(account: User) -> None:
    if not account.email:
        return
    waited = list(_places(account).filter(event__requires_proof=True))
    emails = [email_about(guest, account) for guest in waited]
    queue_emails(emails)
    # Those that were queued before the event asked for a proof, and cancelled for want of it.
    causes = [email.cause for email in emails]
    cancelled = Email.objects.filter(kind="qr_code", state=Email.State.CANCELLED)
    requeue_emails(cancelled.filter(cause__in=causes), to=account.email)
