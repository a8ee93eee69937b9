"""Carrying the emergency journal into the database, once that is back."""

import logging
import time
from datetime import datetime
from enum import Enum
from functools import partial

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from accounts.claims import save_claim
from accounts.exceptions import AccountError
from accounts.models import Claim, User
from accounts.services import is_blocked, register
from accounts.sessions import is_session_of
from accounts.suspicious import note_suspicious
from guests.emergency.intake import EMAIL_TAKEN
from guests.emergency.journal import Entry, Journal, StoredEntry
from guests.exceptions import GuestError, constraint_of
from guests.models import KEY_ONCE, PENDING_ONCE, DeadEntry, Event, GuestRequest
from guests.requests.accepting import check_list_takes_requests, find_promoter, wake_guests_worker
from notifications.recipients import recipient_key

log = logging.getLogger(__name__)


# Seconds that an entry is put off which cannot be carried over yet: doubled each time, up to the
# longest. One that has waited MOST_WAITS times while the database answers uses up an attempt.
FIRST_WAIT, LONGEST_WAIT, MOST_WAITS = 0.5, 30.0, 12
LOCK_TIMEOUT = 300  # milliseconds
WAITS_FOR_ANOTHER = {PENDING_ONCE, KEY_ONCE}
DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)


class NotYetError(Exception):
    """The entry has to wait for another request of the same person to end."""


def drain(journal: Journal) -> int:
    """Carry all due entries into the database, the oldest first. Return how many went.

    An entry leaves the journal only after the database has committed it; carrying one twice does
    nothing. Stops, without using up an attempt, when the database is away. An entry that cannot go
    yet is put off, so that it holds up no other. Raises JournalError.
    """
    carried = 0
    _revive_wanted(journal)
    for stored in journal.due(time.time()):
        try:
            carried += _import_entry(journal, stored)
        except DATABASE_UNAVAILABLE as error:
            if not _database_answers():
                log.warning("draining_stopped", extra={"error": type(error).__name__})
                return carried
            # As when somebody holds a lock on this account. Most waits end by themselves.
            _wait(journal, stored, error_name(error))
    _end_sessions(journal)
    return carried


def _end_sessions(journal: Journal) -> None:
    """End the sessions that signed out while the database was away. Those left over come next time.

    After the entries: what a session asked for before it signed out is still its own.
    """
    for ended in journal.ended_sessions():
        try:
            with transaction.atomic():
                _limit_lock_waits()
                account = User.objects.filter(pk=ended.account_id).first()
                if account and is_session_of(ended.session, account):
                    account.end_session(ended.session_id, browser=ended.browser)
        except (OperationalError, InterfaceError) as error:
            log.warning("sessions_not_ended", extra={"error": type(error).__name__})
            return
        journal.forget_ended_session(ended)


def _import_entry(journal: Journal, stored: StoredEntry) -> bool:
    """Carry one entry and return whether it went. Raises when the database is away."""
    ticket_id = stored.entry.ticket_id
    if not stored.is_readable:
        _give_up(journal, stored, "unreadable")
        return False
    try:
        outcome = import_entry(stored.entry)
    except DATABASE_UNAVAILABLE:
        raise
    except NotYetError:
        _wait(journal, stored, "waits for another request of the account")
        return False
    except AccountError as error:
        if error.code == EMAIL_TAKEN:
            # Another try changes nothing: the browser that wrote it may name another email.
            _give_up(journal, stored, error.code)
        else:
            _count_attempt(journal, stored, error.code)
        return False
    except Exception as error:  # noqa: BLE001 (one bad entry must not hold up the others)
        # The database's own words would put the row, phone and name included, into the log.
        log.error("draining_failed", extra={"ticket_id": ticket_id, "error": error_name(error)})
        _count_attempt(journal, stored, error_name(error))
        return False
    if stored.error:
        # It was dead once and lives again.
        DeadEntry.objects.filter(ticket_id=ticket_id).delete()
    journal.drained(stored, outcome)
    log.info("entry_drained", extra={"ticket_id": ticket_id})
    return True


def _database_answers() -> bool:
    """Say whether the database answers on a new connection: then one entry is the trouble."""
    try:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DATABASE_UNAVAILABLE:
        return False
    return True


def _revive_wanted(journal: Journal) -> None:
    """Give those entries another life that staff want to have replayed."""
    try:
        for dead in DeadEntry.objects.exclude(replay_by=""):
            if journal.revive(str(dead.ticket_id), actor=dead.replay_by):
                dead.delete()
    except DATABASE_UNAVAILABLE:
        return


def _wait(journal: Journal, stored: StoredEntry, reason: str) -> None:
    """Try again soon. Who has waited MOST_WAITS times uses up an attempt."""
    if stored.waits >= MOST_WAITS:
        try:
            _count_attempt(journal, stored, reason)
            return
        except DATABASE_UNAVAILABLE:
            log.warning("dead_entry_waits", extra={"ticket_id": stored.entry.ticket_id})
    wait = min(FIRST_WAIT * 2 ** min(stored.waits, MOST_WAITS), LONGEST_WAIT)
    journal.postpone(stored, retry_at=time.time() + wait)


def _count_attempt(journal: Journal, stored: StoredEntry, error: str) -> None:
    """Try again later, after JOURNAL_ATTEMPTS never: the entry is dead then, and kept."""
    if stored.attempts + 1 >= settings.JOURNAL_ATTEMPTS:
        _give_up(journal, stored, error)
    else:
        wait = settings.JOURNAL_BACKOFF * 2**stored.attempts
        journal.failed(stored, error, retry_at=time.time() + wait)


def _give_up(journal: Journal, stored: StoredEntry, error: str) -> None:
    """Mark an entry dead and show it to staff. Raises when the database is away: it waits then."""
    log.error("entry_dead", extra={"ticket_id": stored.entry.ticket_id})
    try:
        _show_to_staff(stored.entry, stored.attempts + 1, error)
    except DATABASE_UNAVAILABLE:
        raise
    except Exception as shown:  # noqa: BLE001 (the same)
        # `manage.py audit` names it all the same.
        about = {"ticket_id": stored.entry.ticket_id, "error": error_name(shown)}
        log.error("dead_entry_not_shown", extra=about)
    journal.failed(stored, error, retry_at=None)


def _show_to_staff(entry: Entry, attempts: int, error: str) -> None:
    DeadEntry.objects.update_or_create(
        ticket_id=entry.ticket_id,
        defaults={
            "event_slug": _slug_of(entry)[:60],
            "phone": entry.phone[:16],
            "error": error,
            "attempts": attempts,
            "accepted_at": datetime.fromisoformat(entry.accepted_at),
        },
    )


def _slug_of(entry: Entry) -> str:
    """Return the slug of an entry's event, of an unreadable entry by its key."""
    slugs = Event.objects.filter(pk=entry.event_id).values_list("slug", flat=True)
    return entry.event_slug or slugs.first() or ""


@transaction.atomic
def import_entry(entry: Entry) -> str:
    """Put one entry into the database under its ticket id, with its account if that is new.

    Return what became of it, in a word. Raises NotYetError, AccountError `phone_taken` and
    `email_taken`, and what the database raises.
    """
    _limit_lock_waits()
    if GuestRequest.objects.filter(ticket_id=entry.ticket_id).exists():
        return "was there already"
    event = Event.objects.get(pk=entry.event_id)
    account, whose, refused = _account_for(entry)
    request = GuestRequest(
        ticket_id=entry.ticket_id,
        event=event,
        account=account,
        phone=account.phone or entry.phone,
        name=(entry.name if whose == Whose.SESSION else "") or account.name,
        promoter_id=entry.promoter_id,
        team_id=entry.team_id,
        level=3,
        browser=entry.browser if whose == Whose.BROWSER else "",
        is_second_registration=whose == Whose.ANOTHER and is_second_registration(account, entry),
        accepted_at=datetime.fromisoformat(entry.accepted_at),
    )
    if refusal := refused or _refusal(entry, event, account):
        request.state, request.refusal = GuestRequest.State.REFUSED, refusal
        request.ended_at = Now()
        if refusal == "promoter_not_at_event":
            # The promoter may not even exist any more.
            request.promoter = request.team = None
    elif whose == Whose.SESSION and entry.idempotency_key:
        _apply_idempotency_key(request, entry.idempotency_key)
    _insert(request)
    if request.is_second_registration:
        note_second_registration(account, entry)
    transaction.on_commit(wake_guests_worker)
    return request.state


def _limit_lock_waits() -> None:
    """An entry that waits for a lock holds up all entries behind it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT}")


def _apply_idempotency_key(request: GuestRequest, key: str) -> None:
    """Have a request end as the one ended that its account made with the same key.

    A key of another event's request is refused, as at level 1.
    """
    earlier = GuestRequest.objects.filter(account=request.account, idempotency_key=key).first()
    if earlier is None:
        request.idempotency_key = key
    elif earlier.event_id != request.event_id:
        request.state, request.refusal = GuestRequest.State.REFUSED, "key_reused"
        request.ended_at = Now()
    elif earlier.state == GuestRequest.State.PENDING:
        raise NotYetError
    else:
        request.state, request.refusal = earlier.state, earlier.refusal
        request.guest, request.error = earlier.guest, earlier.error
        request.ended_at = Now()


def _insert(request: GuestRequest) -> None:
    """Store a request. Raises NotYetError while the account has a pending one for the event, or
    another process has just stored one with its key: ours can end when that one has.
    """
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError as error:
        if constraint_of(error) in WAITS_FOR_ANOTHER:
            raise NotYetError from error
        raise


def error_name(error: Exception) -> str:
    """Return what went wrong, without anything of the row."""
    name = type(error).__name__
    constraint = constraint_of(error) if isinstance(error, IntegrityError) else ""
    return f"{name} {constraint}".strip()


def is_second_registration(account: User, entry: Entry) -> bool:
    """Say whether an entry registers an account's phone with another email.

    Who reads the same mailbox is the same person, however the names are written.
    """
    return bool(entry.email) and recipient_key(entry.email) != recipient_key(account.email)


def note_second_registration(account: User, entry: Entry) -> None:
    """Keep what a second browser wrote about itself when it registered a phone, as a claim on it.

    The holder hears of it by email, and staff decide.
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


class Whose(Enum):
    """How an entry's browser stands to the account that the entry belongs to."""

    SESSION = "it was signed in"
    BROWSER = "it registered the account"
    ANOTHER = "it knows the phone"


def _account_for(entry: Entry) -> tuple[User, Whose, str]:
    """Return the account an entry belongs to, how its browser stands to it, and why a registration
    is refused, or "".

    The session's account when the session was still good, else the phone's: no other browser gets
    more than an email to that account's own address. The browser's account can be there before its
    entry: a commit whose answer was lost may have made both. Nobody can have proven it then: of a
    proven account the browser's id says only who once used the browser.
    """
    if entry.account_id:
        account = User.objects.filter(pk=entry.account_id).first()
        if account and is_session_of(entry.session, account):
            return account, Whose.SESSION, ""
    account = User.objects.filter(phone=entry.phone).first()
    if account:
        is_own = account.verified_at is None and account.is_known_in(entry.browser)
        return account, Whose.BROWSER if is_own else Whose.ANOTHER, ""
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
        if error.code != "refused":
            # `phone_taken` in this moment: the next try finds that account.
            raise
        # A row that staff can see; no email goes to an address nobody proved.
        names = {"first_name": entry.first_name, "last_name": entry.last_name}
        account = User.objects.create_user(entry.phone, email=entry.email, **names)
        return account, Whose.ANOTHER, error.code
    # The person registered when the entry was accepted.
    account.created_at = datetime.fromisoformat(entry.accepted_at)
    account.save(update_fields=["created_at"])
    return account, Whose.BROWSER, ""


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
