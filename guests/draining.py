"""Carrying the emergency journal into the database, once that is back."""

import logging
import time
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models.functions import Now
from django.utils.crypto import constant_time_compare

from accounts.errors import AccountError
from accounts.models import User
from accounts.services import is_blocked, register

from .errors import GuestError
from .journal import Entry, Journal, StoredEntry
from .models import DeadEntry, Event, GuestRequest
from .services import check_list_takes_requests, find_promoter, wake_guests_worker

log = logging.getLogger(__name__)


class NotYetError(Exception):
    """The entry has to wait for another request of the same person to end."""


def drain(journal: Journal) -> int:
    """Carry all due entries into the database, the oldest first. Return how many went.

    An entry leaves the journal only after the database has committed it; carrying one twice does
    nothing. Stops, without using up an attempt, when the database is away. Raises JournalError.
    """
    carried = 0
    _revive_wanted(journal)
    for stored in journal.due(time.time()):
        try:
            outcome = carry(stored.entry)
        except (OperationalError, InterfaceError) as error:
            log.warning("draining_stopped", extra={"error": type(error).__name__})
            return carried
        except NotYetError:
            continue
        except Exception as error:
            log.exception("draining_failed", extra={"ticket_id": stored.entry.ticket_id})
            _count_attempt(journal, stored, type(error).__name__)
        else:
            journal.drained(stored, outcome)
            log.info("entry_drained", extra={"ticket_id": stored.entry.ticket_id})
            carried += 1
    return carried


def _revive_wanted(journal: Journal) -> None:
    """Give those entries another life that staff want to have replayed."""
    try:
        for dead in DeadEntry.objects.exclude(replay_by=""):
            if journal.revive(str(dead.ticket_id), actor=dead.replay_by):
                dead.delete()
    except (OperationalError, InterfaceError):
        return


def _count_attempt(journal: Journal, stored: StoredEntry, error: str) -> None:
    """Try again later, after JOURNAL_ATTEMPTS never: the entry is dead then, and kept."""
    if stored.attempts + 1 >= settings.JOURNAL_ATTEMPTS:
        log.error("entry_dead", extra={"ticket_id": stored.entry.ticket_id})
        _show_to_staff(stored.entry, stored.attempts + 1, error)
        journal.failed(stored, error, retry_at=None)
    else:
        wait = settings.JOURNAL_BACKOFF * 2**stored.attempts
        journal.failed(stored, error, retry_at=time.time() + wait)


def _show_to_staff(entry: Entry, attempts: int, error: str) -> None:
    DeadEntry.objects.get_or_create(
        ticket_id=entry.ticket_id,
        defaults={
            "event_slug": entry.event_slug,
            "phone": entry.phone,
            "error": error,
            "attempts": attempts,
            "accepted_at": datetime.fromisoformat(entry.accepted_at),
        },
    )


@transaction.atomic
def carry(entry: Entry) -> str:
    """Put one entry into the database under its ticket id, with its account if that is new.

    Return what became of it, in a word. Raises NotYetError, and what the database raises.
    """
    if GuestRequest.objects.filter(ticket_id=entry.ticket_id).exists():
        return "was there already"
    event = Event.objects.get(pk=entry.event_id)
    account, is_theirs, refused = _account_for(entry)
    request = GuestRequest(
        ticket_id=entry.ticket_id,
        event=event,
        account=account,
        phone=account.phone or entry.phone,
        name=account.name,
        promoter_id=entry.promoter_id,
        team_id=entry.team_id,
        level=3,
        browser=entry.browser if is_theirs else "",
        accepted_at=datetime.fromisoformat(entry.accepted_at),
    )
    if refusal := refused or _refusal(entry, event, account):
        request.state, request.refusal = GuestRequest.State.REFUSED, refusal
        request.ended_at = Now()
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError as error:
        # The account has a pending request for this event: ours can end when that one has.
        raise NotYetError from error
    transaction.on_commit(wake_guests_worker)
    return request.state


def _account_for(entry: Entry) -> tuple[User, bool, str]:
    """Return the account an entry belongs to, whether its browser registered that account, and why
    that registration is refused, or "".

    The session's account when the session was still good, else the phone's: no other browser gets
    more than an email to that account's own address. The browser's account can be there before its
    entry: a commit whose answer was lost may have made both.
    """
    if entry.account_id:
        account = User.objects.filter(pk=entry.account_id).first()
        if account and constant_time_compare(account.get_session_auth_hash(), entry.session_hash):
            return account, False, ""
    account = User.objects.filter(phone=entry.phone).first()
    if account:
        is_theirs = bool(entry.browser) and constant_time_compare(account.browser, entry.browser)
        return account, is_theirs, ""
    if not entry.email:
        raise LookupError("the phone has no account, and nobody registered it")
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
        if error.code == "phone_taken":  # In this moment: the next try finds that account.
            raise
        # A row that staff can see; no email goes to an address nobody proved.
        names = {"first_name": entry.first_name, "last_name": entry.last_name}
        account = User.objects.create_user(entry.phone, email=entry.email, **names)
        return account, False, error.code
    return account, True, ""


def _refusal(entry: Entry, event: Event, account: User) -> str:
    """Return why the entry is refused, by the rules at the time of its acceptance, or nothing."""
    if not account.is_active or is_blocked(account.phone or entry.phone):
        return "refused"
    try:
        find_promoter(event, promoter_id=entry.promoter_id, team_id=entry.team_id)
        check_list_takes_requests(event, datetime.fromisoformat(entry.accepted_at))
    except GuestError as error:
        return error.code
    return ""
