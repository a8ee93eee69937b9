"""Drain the emergency journal: import its entries into the database once that is available."""

import logging
import time
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from accounts.exceptions import AccountError
from accounts.models import User
from accounts.sessions import is_session_of
from guests.emergency.entries import EndedSession, Entry, StoredEntry
from guests.emergency.importing import AccountBusyError, import_entry, limit_lock_waits
from guests.emergency.intake import EMAIL_TAKEN, find_dead_tickets
from guests.emergency.journal import Journal
from guests.models import DeadEntry, Event
from guests.requests.pushes import push_tickets
from snap.observability.context import context_of, following
from snap.observability.logs import describe_error

log = logging.getLogger(__name__)

# An entry that cannot be imported yet is postponed, by a time that doubles up to the maximum. While
# the database responds, an entry that was postponed MAX_POSTPONES times uses up an attempt.
MIN_POSTPONE_SECONDS = 0.5
MAX_POSTPONE_SECONDS = 30.0
MAX_POSTPONES = 12

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)


def drain(journal: Journal) -> int:
    """Import all due entries into the database, the oldest first. Return how many were imported.

    An entry is removed from the journal after the database has committed it; a second import
    changes nothing. Stops when the database is unavailable, which uses up no attempt. An entry that
    cannot be imported is postponed, so that it blocks no other. Raises JournalError.
    """
    imported = 0
    _revive_requested_entries(journal)
    for stored in journal.due(time.time()):
        with following(context_of(stored.entry)):
            try:
                imported += _drain_entry(journal, stored)
            except DATABASE_UNAVAILABLE as error:
                if not _database_responds():
                    log.warning("draining_stopped", extra={"error": describe_error(error)})
                    return imported
                # Only this entry fails, for example because its account is locked for a moment.
                _postpone(journal, stored, describe_error(error))
    # Sessions end after the entries: a request made before the sign-out still counts as signed in.
    _end_sessions(journal)
    return imported


def _end_sessions(journal: Journal) -> None:
    """End the sessions that signed out while the database was unavailable.

    When the database fails again, the rest stays in the journal for the next round.
    """
    for ended in journal.ended_sessions():
        try:
            _end_session(ended)
        except DATABASE_UNAVAILABLE as error:
            log.warning("sessions_not_ended", extra={"error": describe_error(error)})
            return
        journal.delete_ended_session(ended)


@transaction.atomic
def _end_session(ended: EndedSession) -> None:
    limit_lock_waits()
    account = User.objects.filter(pk=ended.account_id).first()
    if account and is_session_of(ended.session, account):
        account.end_session(ended.session_id, browser=ended.browser)


def _drain_entry(journal: Journal, stored: StoredEntry) -> bool:
    """Import one entry and remove it from the journal. Return whether that was possible.

    Raises the database's errors when it is unavailable.
    """
    ticket_id = stored.entry.ticket_id
    if not stored.is_readable:
        _mark_dead(journal, stored, "unreadable")
        return False
    try:
        outcome = import_entry(stored.entry)
    except DATABASE_UNAVAILABLE:
        raise
    except AccountBusyError:
        _postpone(journal, stored, "another request of the account is pending")
        return False
    except AccountError as error:
        if error.code == EMAIL_TAKEN:
            # Another attempt cannot succeed. The person can correct the email in their browser.
            _mark_dead(journal, stored, error.code)
        else:
            _record_failure(journal, stored, error.code)
        return False
    except Exception as error:  # noqa: BLE001 (one bad entry must not block the others)
        # The database's message would put the row, with its phone and name, into the log.
        reason = describe_error(error)
        log.error("draining_failed", extra={"error": reason})
        _record_failure(journal, stored, reason)
        return False
    if stored.error:
        # The entry may have been dead before.
        DeadEntry.objects.filter(ticket_id=ticket_id).delete()
    journal.remove_imported(stored, outcome)
    log.info("entry_drained")
    return True


def _database_responds() -> bool:
    """Return whether the database responds on a new connection."""
    try:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DATABASE_UNAVAILABLE:
        return False
    return True


def _revive_requested_entries(journal: Journal) -> None:
    """Revive the dead entries of this host for which staff have requested a replay."""
    try:
        for dead in DeadEntry.objects.exclude(replay_by=""):
            if journal.revive(str(dead.ticket_id), actor=dead.replay_by):
                dead.delete()
    except DATABASE_UNAVAILABLE:
        return


def _postpone(journal: Journal, stored: StoredEntry, reason: str) -> None:
    """Set a later time for the next attempt. After MAX_POSTPONES, count this one as failed."""
    if stored.waits >= MAX_POSTPONES:
        try:
            _record_failure(journal, stored, reason)
            return
        except DATABASE_UNAVAILABLE:
            log.warning("dead_entry_postponed", extra={"ticket_id": stored.entry.ticket_id})
    doublings = min(stored.waits, MAX_POSTPONES)
    seconds = min(MIN_POSTPONE_SECONDS * 2**doublings, MAX_POSTPONE_SECONDS)
    journal.postpone(stored, retry_at=time.time() + seconds)


def _record_failure(journal: Journal, stored: StoredEntry, error: str) -> None:
    """Count a failed attempt. After JOURNAL_ATTEMPTS of them the entry is dead.

    The next attempt follows after JOURNAL_BACKOFF seconds, doubled with each attempt.
    """
    if stored.attempts + 1 >= settings.JOURNAL_ATTEMPTS:
        _mark_dead(journal, stored, error)
    else:
        seconds = settings.JOURNAL_BACKOFF * 2**stored.attempts
        journal.record_failure(stored, error, retry_at=time.time() + seconds)


def _mark_dead(journal: Journal, stored: StoredEntry, error: str) -> None:
    """Mark an entry dead, and create the row that staff see.

    Raises the database's errors when it is unavailable; the entry stays as it is then.
    """
    ticket_id = stored.entry.ticket_id
    log.error("entry_dead", extra={"ticket_id": ticket_id})
    try:
        _save_dead_entry(stored.entry, stored.attempts + 1, error)
    except DATABASE_UNAVAILABLE:
        raise
    except Exception as failure:  # noqa: BLE001 (one bad entry must not block the others)
        # `manage.py audit` lists the entry without the row.
        about = {"ticket_id": ticket_id, "error": describe_error(failure)}
        log.error("dead_entry_not_saved", extra=about)
    journal.mark_dead(stored, error)


def _save_dead_entry(entry: Entry, attempts: int, error: str) -> None:
    DeadEntry.objects.update_or_create(
        ticket_id=entry.ticket_id,
        defaults={
            "event_slug": _event_slug(entry)[:60],
            "phone": entry.phone[:16],
            "error": error,
            "attempts": attempts,
            "accepted_at": datetime.fromisoformat(entry.accepted_at),
        },
    )
    push_tickets(list(find_dead_tickets([UUID(entry.ticket_id)]).values()))


def _event_slug(entry: Entry) -> str:
    """Return the slug of an entry's event. An unreadable entry only has the event's id."""
    if entry.event_slug:
        return entry.event_slug
    return Event.objects.filter(pk=entry.event_id).values_list("slug", flat=True).first() or ""
