"""The mirror of places on this host's disk, read by web processes without the database (level 3).

The sweeper of the same host keeps it up to date (`mirror_sync`).
"""

import json
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.sessions import RememberedAccount
from guests.emergency.journal import JournalError, get_journal
from guests.models import Event, Guest, GuestRequest
from guests.place_status import PlaceStatus, status_of
from guests.requests.tickets import Ticket, TicketState, build_ticket, ticket_without_guest

log = logging.getLogger(__name__)

# Part of the file's name. A release with other tables has another version, and so its own file.
VERSION = 2
MAX_AGE = timedelta(days=1)  # A mirror whose last sync is older is not shown.
LOCK_TIMEOUT = 2.0  # seconds to wait for another process that writes

TICKETS = """
SELECT
    ticket.id AS request_id, ticket.ticket_id, ticket.browser AS request_browser,
    ticket.name AS request_name, ticket.state AS request_state, ticket.refusal,
    ticket.is_second_registration, ticket.accepted_at,
    event.id AS event_id, slug, title, venue, address, time_zone, starts_at, ends_at,
    requires_proof, cancelled_at, waiting_list_ends_at, sequence, moves,
    account.id AS account_id, session_hashes, is_active, email,
    account.browser AS account_browser, verified_at, created_at, ended_sessions,
    place.id AS guest_id, place.name AS guest_name, place.state AS guest_state, queue_number,
    qr_token, placed_at, is_promoted, ending, leaves_at,
    (SELECT value FROM meta WHERE key = 'synced_at') AS synced_at
FROM ticket JOIN event ON event.id = ticket.event_id JOIN account ON account.id = ticket.account_id
LEFT JOIN place ON place.id = ticket.guest_id
"""
PLACES_BY_CODE = """
SELECT id FROM place WHERE qr_token = ? UNION ALL SELECT id FROM place WHERE revoked_token = ?
"""


@dataclass(frozen=True)
class MirroredTicket:
    """A ticket at its last sync, `as_of` (ISO 8601).

    `position` is the place in the waiting list. `session_hashes` are the hashes of the account's
    valid sessions, separated by spaces.
    """

    request: GuestRequest
    guest: Guest | None
    position: int | None
    session_hashes: str
    as_of: str

    def belongs_to(self, remembered: RememberedAccount | None) -> bool:
        """Return whether a session is one of the ticket's account, and not known to have ended."""
        account = self.request.account
        if remembered is None or remembered.pk != account.pk:
            return False
        return _is_valid(remembered, self.session_hashes, account.is_active, account.ended_sessions)

    def belongs_to_browser(self, browser: str) -> bool:
        """Return whether this browser registered the account while the database was unavailable."""
        account = self.request.account
        has_registered = self.request.browser == browser and account.is_known_in(browser)
        return has_registered and account.is_active

    def to_ticket(self) -> Ticket:
        """Return the ticket as its owner sees it."""
        if self.request.state == GuestRequest.State.PENDING and self.guest is None:
            ticket_id = str(self.request.ticket_id)
            return ticket_without_guest(self.request.event, ticket_id, TicketState.QUEUED)
        ticket = build_ticket(self.request, self.guest, position=self.position)
        return replace(ticket, as_of=self.as_of)


class Mirror:
    """The places, tickets and accounts of upcoming events, in one SQLite file.

    Without a file, or with one that cannot be read, every method finds nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def find_ticket(self, ticket_id: UUID) -> MirroredTicket | None:
        return self._find("ticket.ticket_id = ?", str(ticket_id))

    def find_latest_ticket(self, event_id: int, account_id: int) -> MirroredTicket | None:
        """Return the account's last ticket for an event, as `accepting.latest_request` does."""
        return self._find("ticket.event_id = ? AND ticket.account_id = ?", event_id, account_id)

    def find_pass(self, token: str) -> MirroredTicket | None:
        """Return the ticket of the guest who has this QR token, or had it last before."""
        return self._find(f"place.id IN ({PLACES_BY_CODE})", token, token)

    def places_of(self, account_id: int) -> dict[int, PlaceStatus]:
        """Return how the account's places stand by event id, as `accepting.places_of` does."""
        query = f"{TICKETS} WHERE ticket.account_id = ? AND place.state <> 'cancelled'"
        places = {}
        for row in self._read(query, [account_id]):
            event = _build_event(row)
            guest = _build_request(row, event, _build_account(row)).guest
            if guest is not None:
                places[event.pk] = status_of(guest)
        return places

    def has_ended(self, remembered: RememberedAccount) -> bool:
        """Return whether a session is known to have ended.

        For an account without a place, this host only knows the sessions that signed out here while
        the database was unavailable.
        """
        if remembered.session_id in _signed_out_here(remembered.pk):
            return True
        rows = self._read(
            "SELECT session_hashes, is_active, ended_sessions FROM account WHERE id = ?",
            [remembered.pk],
        )
        if not rows:
            return False
        (account,) = rows
        ended = json.loads(account["ended_sessions"])
        return not _is_valid(remembered, account["session_hashes"], account["is_active"], ended)

    def _find(self, condition: str, *values: object) -> MirroredTicket | None:
        query = f"{TICKETS} WHERE {condition} ORDER BY ticket.id DESC LIMIT 1"
        rows = self._read(query, values)
        if not rows:
            return None
        (row,) = rows
        event = _build_event(row)
        oldest = event.database_now - MAX_AGE
        if datetime.fromisoformat(row["synced_at"]) < oldest:
            return None
        request = _build_request(row, event, _build_account(row))
        request.database_now = event.database_now
        position = self._position(request.guest)
        return MirroredTicket(
            request, request.guest, position, row["session_hashes"], row["synced_at"]
        )

    def _position(self, guest: Guest | None) -> int | None:
        """Return a guest's place in the waiting list, or None for a guest who is not waiting."""
        if guest is None or guest.state != Guest.State.WAITING:
            return None
        rows = self._read(
            "SELECT count(*) AS guests FROM place WHERE event_id = ? AND state = 'waiting'"
            " AND queue_number <= ?",
            [guest.event_id, guest.queue_number],
        )
        return rows[0]["guests"] if rows else 1

    def _read(self, query: str, values: Sequence[object]) -> list[sqlite3.Row]:
        if not self.path.exists():
            return []
        try:
            with closing(sqlite3.connect(self.path, timeout=LOCK_TIMEOUT)) as mirror:
                mirror.row_factory = sqlite3.Row
                return mirror.execute(query, values).fetchall()
        except sqlite3.Error as error:
            log.warning("mirror_read_failed", extra={"error": type(error).__name__})
            return []


def _build_event(row: sqlite3.Row) -> Event:
    """Return the event of a row, with this host's time."""
    event = Event(
        pk=row["event_id"],
        slug=row["slug"],
        title=row["title"],
        venue=row["venue"],
        address=row["address"],
        time_zone=row["time_zone"],
        starts_at=datetime.fromisoformat(row["starts_at"]),
        ends_at=datetime.fromisoformat(row["ends_at"]),
        requires_proof=bool(row["requires_proof"]),
        cancelled_at=_parse_time(row["cancelled_at"]),
        waiting_list_ends_at=_parse_time(row["waiting_list_ends_at"]),
        sequence=row["sequence"],
        moves=json.loads(row["moves"]),
    )
    event.database_now = timezone.now()
    return event


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _build_account(row: sqlite3.Row) -> User:
    account = User(
        pk=row["account_id"],
        is_active=bool(row["is_active"]),
        email=row["email"],
        browser=row["account_browser"],
        created_at=datetime.fromisoformat(row["created_at"]),
        ended_sessions=json.loads(row["ended_sessions"]),
    )
    account.ended_sessions += _signed_out_here(account.pk)
    account.verified_at = _parse_time(row["verified_at"])
    return account


def _build_request(row: sqlite3.Row, event: Event, account: User) -> GuestRequest:
    """Return the request of a row, with its guest if it has one."""
    guest = None
    if row["guest_id"]:
        guest = Guest(
            pk=row["guest_id"],
            event=event,
            account=account,
            name=row["guest_name"],
            state=row["guest_state"],
            queue_number=row["queue_number"],
            qr_token=row["qr_token"],
            state_since=datetime.fromisoformat(row["placed_at"]),
            is_promoted=bool(row["is_promoted"]),
            ending=row["ending"],
            leaves_at=_parse_time(row["leaves_at"]),
        )
        guest.database_now = event.database_now
    return GuestRequest(
        pk=row["request_id"],
        ticket_id=UUID(row["ticket_id"]),
        event=event,
        account=account,
        browser=row["request_browser"],
        name=row["request_name"],
        state=row["request_state"],
        refusal=row["refusal"],
        guest=guest,
        is_second_registration=bool(row["is_second_registration"]),
        accepted_at=datetime.fromisoformat(row["accepted_at"]),
    )


def _is_valid(
    remembered: RememberedAccount, session_hashes: str, is_active: bool, ended: list[str]
) -> bool:
    """Return whether a session has one of the account's hashes and has not ended."""
    if not is_active or remembered.session_id in ended:
        return False
    given = remembered.session_hash
    return any(constant_time_compare(known, given) for known in session_hashes.split())


def _signed_out_here(account_id: int) -> list[str]:
    """Return the ids of the account's sessions and browsers that this host's journal has as ended.

    The list is empty when the journal cannot be read.
    """
    try:
        ended_sessions = get_journal().ended_sessions(account_id)
    except JournalError:
        log.exception("ended_sessions_read_failed")
        return []
    ids = []
    for ended in ended_sessions:
        ids.append(ended.session_id)
        if ended.browser:
            ids.append(ended.browser)
    return ids


def get_mirror() -> Mirror:
    """Return this host's mirror, in the folder of JOURNAL_PATH."""
    return Mirror(settings.JOURNAL_PATH.with_name(f"places-{VERSION}.sqlite3"))
