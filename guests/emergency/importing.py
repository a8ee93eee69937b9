"""Import one entry of the emergency journal into the database, with its account if that is new."""

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial

from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from accounts.claims import save_claim
from accounts.exceptions import AccountError
from accounts.models import Claim, User
from accounts.services import is_blocked, register
from accounts.sessions import is_session_of
from accounts.suspicious import note_suspicious
from guests.emergency.entries import Entry
from guests.exceptions import GuestError, constraint_of
from guests.models import ONE_PENDING_REQUEST, ONE_REQUEST_PER_KEY, Event, GuestRequest
from guests.requests.accepting import check_list_takes_requests, find_promoter, wake_guests_worker
from guests.requests.pushes import push_tickets
from guests.requests.tickets import build_ticket
from notifications.recipients import recipient_key

log = logging.getLogger(__name__)

LOCK_TIMEOUT = 300  # milliseconds
# Constraints that an entry violates only until another request of its account has ended.
TEMPORARY_CONSTRAINTS = {ONE_PENDING_REQUEST, ONE_REQUEST_PER_KEY}


class AccountBusyError(Exception):
    """Another request of the entry's account has to end before the entry can be imported."""


class MatchedBy(Enum):
    """How an entry's account was found."""

    SESSION = "the browser was signed in"
    BROWSER = "the browser registered the account"
    PHONE = "the browser knows the phone, no more"


@dataclass(frozen=True)
class AccountMatch:
    """The account of an entry. `refusal` is the code of a refused registration, or ""."""

    account: User
    matched_by: MatchedBy
    refusal: str = ""


@transaction.atomic
def import_entry(entry: Entry) -> str:
    """Create the request of an entry under its ticket id, and its account if that is new.

    Return the request's state, or "already imported": a second import of an entry changes nothing.
    Raises AccountBusyError; AccountError `phone_taken` and `email_taken`; LookupError for an
    unknown phone without a registration; and the database's errors.
    """
    limit_lock_waits()
    if GuestRequest.objects.filter(ticket_id=entry.ticket_id).exists():
        return "already imported"
    event = Event.objects.with_database_time().get(pk=entry.event_id)
    match = _match_account(entry)
    request = _build_request(entry, event, match)
    _drop_promoter_who_left(request)
    if refusal := match.refusal or _find_refusal(entry, event, match.account):
        _refuse(request, refusal)
    elif match.matched_by == MatchedBy.SESSION and entry.idempotency_key:
        _apply_idempotency_key(request, entry.idempotency_key)
    _insert(request)
    if request.is_second_registration:
        save_second_registration(match.account, entry)
    if request.state != GuestRequest.State.PENDING:
        # The worker pushes the end of a pending request.
        push_tickets([build_ticket(request, request.guest)], [request])
    transaction.on_commit(wake_guests_worker)
    return request.state


def limit_lock_waits() -> None:
    """Limit waits for locks in this transaction to LOCK_TIMEOUT: other entries wait behind it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT}")


def _build_request(entry: Entry, event: Event, match: AccountMatch) -> GuestRequest:
    account = match.account
    request = GuestRequest(
        ticket_id=entry.ticket_id,
        event=event,
        account=account,
        phone=account.phone or entry.phone,
        name=account.name,
        promoter_id=entry.promoter_id,
        team_id=entry.team_id,
        level=3,
        accepted_at=datetime.fromisoformat(entry.accepted_at),
    )
    match match.matched_by:
        case MatchedBy.SESSION:
            request.name = entry.name or account.name
        case MatchedBy.BROWSER:
            request.browser = entry.browser
        case MatchedBy.PHONE:
            request.is_second_registration = is_second_registration(account, entry)
    return request


def _drop_promoter_who_left(request: GuestRequest) -> None:
    """Attribute the request to nobody if its promoter has left the event since it was accepted."""
    try:
        find_promoter(request.event, promoter_id=request.promoter_id, team_id=request.team_id)
    except GuestError:
        log.warning("entry_of_unknown_promoter", extra={"ticket_id": str(request.ticket_id)})
        # The promoter may have been deleted.
        request.promoter = request.team = None


def _refuse(request: GuestRequest, refusal: str) -> None:
    request.state = GuestRequest.State.REFUSED
    request.refusal = refusal
    request.ended_at = Now()


def _apply_idempotency_key(request: GuestRequest, key: str) -> None:
    """End a request like the account's earlier request with the same key, if there is one.

    A key of another event's request is refused, as at level 1.
    """
    earlier = GuestRequest.objects.filter(account=request.account, idempotency_key=key).first()
    if earlier is None:
        request.idempotency_key = key
    elif earlier.event_id != request.event_id:
        _refuse(request, "key_reused")
    elif earlier.state == GuestRequest.State.PENDING:
        raise AccountBusyError
    else:
        request.state, request.refusal = earlier.state, earlier.refusal
        request.guest, request.error = earlier.guest, earlier.error
        request.ended_at = Now()


def _insert(request: GuestRequest) -> None:
    """Store a request.

    Raises AccountBusyError while the account has a pending request for the event, or when another
    process has just stored one with the same idempotency key.
    """
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError as error:
        if constraint_of(error) in TEMPORARY_CONSTRAINTS:
            raise AccountBusyError from error
        raise


def is_second_registration(account: User, entry: Entry) -> bool:
    """Return whether an entry registers an account's phone with an email of another mailbox.

    The same mailbox means the same person, even under other names.
    """
    return bool(entry.email) and recipient_key(entry.email) != recipient_key(account.email)


def save_second_registration(account: User, entry: Entry) -> None:
    """Store the details of a second registration of a phone as a claim on the account.

    The account's holder gets an email, and staff decide.
    """
    log.warning("second_registration", extra={"ticket_id": entry.ticket_id})
    claim = Claim(
        first_name=entry.first_name,
        last_name=entry.last_name,
        email=entry.email,
        language=entry.language or account.language,
        browser=entry.browser,
        event_slug=entry.event_slug,
    )
    save_claim(account, claim)
    note = partial(note_suspicious, "claim", phone=account.phone or "")
    transaction.on_commit(note, robust=True)


def _match_account(entry: Entry) -> AccountMatch:
    """Return the account of an entry: the session's, else the phone's, else a new one.

    The session counts only if it is still valid. A browser that only knows the phone learns nothing
    about the account: the account's own address gets an email.
    """
    if entry.account_id:
        account = User.objects.filter(pk=entry.account_id).first()
        if account and is_session_of(entry.session, account):
            return AccountMatch(account, MatchedBy.SESSION)
    account = User.objects.filter(phone=entry.phone).first()
    if account is None:
        return _register(entry)
    # The account can precede its entry: its registration was committed, but the response was lost.
    # Such an account is not verified. A verified account may belong to another person who used the
    # same browser.
    if account.verified_at is None and account.is_known_in(entry.browser):
        return AccountMatch(account, MatchedBy.BROWSER)
    return AccountMatch(account, MatchedBy.PHONE)


def _register(entry: Entry) -> AccountMatch:
    """Create the account of an entry's registration.

    Raises LookupError without a registration, and AccountError `email_taken` and `phone_taken`: the
    phone was registered a moment ago, and the next attempt finds that account.
    """
    if not entry.email:
        raise LookupError("the phone has no account and the entry no registration")
    try:
        account = register(
            phone=entry.phone,
            first_name=entry.first_name,
            last_name=entry.last_name,
            email=entry.email,
            language=entry.language,
            browser=entry.browser,
        )
    except AccountError as error:
        if error.code != "refused":
            raise
        # Staff see the account. It gets no email: its address is not proven.
        names = {"first_name": entry.first_name, "last_name": entry.last_name}
        account = User.objects.create_user(entry.phone, email=entry.email, **names)
        return AccountMatch(account, MatchedBy.PHONE, refusal=error.code)
    # The person registered when the entry was accepted.
    account.created_at = datetime.fromisoformat(entry.accepted_at)
    account.save(update_fields=["created_at"])
    return AccountMatch(account, MatchedBy.BROWSER)


def _find_refusal(entry: Entry, event: Event, account: User) -> str:
    """Return the code of the entry's refusal by the rules at its acceptance, or ""."""
    if not account.is_active or is_blocked(account.phone or entry.phone):
        return "refused"
    try:
        check_list_takes_requests(event, datetime.fromisoformat(entry.accepted_at))
    except GuestError as error:
        return error.code
    return ""
