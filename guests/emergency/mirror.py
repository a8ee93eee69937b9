"""A mirror of places on this host's disk: what holders see while the database is away.

The sweeper keeps it (`sync`). The web processes beside it read it at level 3 only. Nothing in it is
the only copy, so it is not synced to the disk, and a broken file is made anew.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.sessions import RememberedAccount
from guests.emergency.journal import JournalError, get_journal
from guests.models import Event, Guest, GuestRequest
from guests.requests.tickets import Ticket, build_ticket, ticket_without_guest

log = logging.getLogger(__name__)

# Part of the file's name: another release with other tables makes a file of its own.
VERSION = 1
REBUILD_EVERY = 3600.0  # seconds
OLDEST = timedelta(days=1)  # What was known longer ago is not shown.
LOCK_TIMEOUT = 2.0  # seconds to wait for another writer

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, slug TEXT NOT NULL, title TEXT NOT NULL, venue TEXT NOT NULL,
    time_zone TEXT NOT NULL, starts_at TEXT NOT NULL, ends_at TEXT NOT NULL,
    requires_proof INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY, session_hashes TEXT NOT NULL, is_active INTEGER NOT NULL,
    email TEXT NOT NULL, browser TEXT NOT NULL, verified_at TEXT, created_at TEXT NOT NULL,
    ended_sessions TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS place (
    id INTEGER PRIMARY KEY, event_id INTEGER NOT NULL, account_id INTEGER NOT NULL,
    name TEXT NOT NULL, state TEXT NOT NULL, queue_number INTEGER NOT NULL, qr_token TEXT
);
CREATE INDEX IF NOT EXISTS place_by_account ON place (account_id);
CREATE INDEX IF NOT EXISTS place_by_token ON place (qr_token);
CREATE INDEX IF NOT EXISTS place_in_line ON place (event_id, state, queue_number);
CREATE TABLE IF NOT EXISTS ticket (
    id INTEGER PRIMARY KEY, ticket_id TEXT NOT NULL, event_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL, browser TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
    refusal TEXT NOT NULL, guest_id INTEGER, is_second_registration INTEGER NOT NULL,
    accepted_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ticket_by_id ON ticket (ticket_id);
CREATE INDEX IF NOT EXISTS ticket_by_account ON ticket (account_id, event_id);
"""

EVENTS = """
SELECT id, slug, title, venue, time_zone, starts_at, ends_at, requires_proof FROM (
    SELECT *, sum(places_taken) OVER (ORDER BY starts_at, id) AS places FROM guests_event
    WHERE ends_at > now()
) AS ahead
WHERE places - places_taken < %s
"""
# Rows whose last change may not have been seen by the sync before. `age` compares transaction ids,
# which begin again from time to time.
PLACES = """
SELECT id, event_id, account_id, name, state, queue_number, qr_token FROM guests_guest
WHERE event_id = ANY(%(events)s) AND id > %(after)s
AND (%(horizon)s::text IS NULL OR age(xmin) <= age(%(horizon)s::text::xid))
ORDER BY id LIMIT %(limit)s
"""
TICKETS = """
SELECT r.id, r.ticket_id::text, r.event_id, r.account_id, r.browser, r.name, r.state, r.refusal,
    r.guest_id, r.is_second_registration, r.accepted_at,
    u.password, u.session_nonce, u.is_active, u.email, u.browser, u.verified_at, u.created_at,
    u.ended_sessions
FROM guests_guestrequest AS r JOIN accounts_user AS u ON u.id = r.account_id
WHERE r.event_id = ANY(%(events)s) AND r.id > %(after)s
AND (
    %(horizon)s::text IS NULL
    OR age(r.xmin) <= age(%(horizon)s::text::xid) OR age(u.xmin) <= age(%(horizon)s::text::xid)
)
ORDER BY r.id LIMIT %(limit)s
"""
KNOWN = """
SELECT t.*, e.*, a.*, p.*, (SELECT value FROM meta WHERE key = 'synced_at')
FROM ticket AS t JOIN event AS e ON e.id = t.event_id JOIN account AS a ON a.id = t.account_id
LEFT JOIN place AS p ON p.id = t.guest_id
"""

# When each mirror was made anew here (monotonic clock).
_rebuilt_at: dict[Path, float] = {}


@dataclass(frozen=True)
class KnownTicket:
    """A ticket as it was at `as_of`, and the session hashes that its account took."""

    request: GuestRequest
    guest: Guest | None
    position: int | None
    session_hashes: str
    as_of: str

    def is_of(self, remembered: RememberedAccount | None) -> bool:
        """Say whether a session is of the ticket's account, and has not ended as far as known."""
        account = self.request.account
        if remembered is None or remembered.pk != account.pk:
            return False
        return _is_live(remembered, self.session_hashes, account.is_active, account.ended_sessions)

    def is_of_browser(self, browser: str) -> bool:
        """Say whether this browser registered the account while the database was away."""
        account = self.request.account
        is_own = self.request.browser == browser and account.is_known_in(browser)
        return is_own and account.is_active

    def to_ticket(self) -> Ticket:
        """Return what the ticket's owner is told."""
        if self.request.state == GuestRequest.State.PENDING and self.guest is None:
            return ticket_without_guest(self.request.event, str(self.request.ticket_id), "queued")
        ticket = build_ticket(self.request, self.guest, position=self.position)
        return replace(ticket, as_of=self.as_of)


class Mirror:
    """Places, tickets and the accounts' session hashes of events ahead, in one SQLite file."""

    most_places = 200_000  # Further events are left out, the latest first.
    rows_at_once = 2_000

    def __init__(self, path: Path) -> None:
        self.path = path

    # Writing -----------------------------------------------------------------------------------

    def sync(self) -> int:
        """Take over what changed in the database since the last sync. Return how many rows.

        Three statements when something was written, one otherwise; each reads the rows of all
        events ahead. Everything is read anew in a new process, and every REBUILD_EVERY seconds.
        Raises what the database raises, and sqlite3.Error.
        """
        try:
            with self._write() as mirror:
                return self._sync(mirror)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            log.warning("mirror_broken")
            self.remove()
            raise

    def remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        _rebuilt_at.pop(self.path, None)

    def _sync(self, mirror: sqlite3.Connection) -> int:
        meta = dict(mirror.execute("SELECT key, value FROM meta"))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_snapshot_xmin(seen)::text::bigint, seen::text, now()"
                " FROM pg_current_snapshot() AS seen"
            )
            xmin, snapshot, now = cursor.fetchone()
            cursor.execute(EVENTS, [self.most_places])
            events = cursor.fetchall()
        last = int(meta.get("horizon", 0))
        is_old = monotonic() > _rebuilt_at.get(self.path, -REBUILD_EVERY) + REBUILD_EVERY
        if is_old or last > xmin:
            # A database that was restored may count its transactions from an earlier number.
            for table in ("event", "account", "place", "ticket"):
                mirror.execute(f"DELETE FROM {table}")  # noqa: S608
        known = {row[0] for row in mirror.execute("SELECT id FROM event")}
        ahead = {row[0] for row in events}
        rows = 0
        if new := ahead - known:
            rows += self._take_over(mirror, new, None)
        if (kept := ahead & known) and snapshot != meta.get("snapshot"):
            rows += self._take_over(mirror, kept, str(last % 2**32))
        self._keep_events(mirror, events)
        if known - ahead:
            _forget_other_events(mirror)
        written = {"horizon": xmin, "snapshot": snapshot, "synced_at": now.isoformat()}
        mirror.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", written.items())
        if is_old:
            _rebuilt_at[self.path] = monotonic()
        return rows

    def _take_over(
        self, mirror: sqlite3.Connection, event_ids: set[int], horizon: str | None
    ) -> int:
        """Take over rows changed since a horizon, a transaction id, or all. Return how many."""
        rows = 0
        for places in self._read_in_parts(PLACES, event_ids, horizon):
            mirror.executemany("INSERT OR REPLACE INTO place VALUES (?,?,?,?,?,?,?)", places)
            rows += len(places)
        for tickets in self._read_in_parts(TICKETS, event_ids, horizon):
            mirror.executemany(
                "INSERT OR REPLACE INTO ticket VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                [(*row[:10], row[10].isoformat()) for row in tickets],
            )
            mirror.executemany(
                "INSERT OR REPLACE INTO account VALUES (?,?,?,?,?,?,?,?)",
                [_account_row(row[3], *row[11:]) for row in tickets],
            )
            rows += len(tickets)
        return rows

    def _read_in_parts(
        self, query: str, event_ids: set[int], horizon: str | None
    ) -> Iterator[list[Any]]:
        about = {
            "events": list(event_ids),
            "horizon": horizon,
            "limit": self.rows_at_once,
            "after": 0,
        }
        while True:
            with connection.cursor() as cursor:
                cursor.execute(query, about)
                rows = cursor.fetchall()
            if rows:
                yield rows
            if len(rows) < self.rows_at_once:
                return
            about["after"] = rows[-1][0]

    def _keep_events(self, mirror: sqlite3.Connection, events: list[Any]) -> None:
        mirror.execute("DELETE FROM event")
        mirror.executemany(
            "INSERT INTO event VALUES (?,?,?,?,?,?,?,?)",
            [(*row[:5], row[5].isoformat(), row[6].isoformat(), row[7]) for row in events],
        )

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's lock until the end of the block, so that of two who sync at once the
        later one reads the database later."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self.path.touch(mode=0o600)
        with closing(
            sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)
        ) as mirror:
            mirror.execute("PRAGMA journal_mode = WAL")
            mirror.execute("PRAGMA synchronous = OFF")
            mirror.executescript(TABLES)
            mirror.execute("BEGIN IMMEDIATE")
            yield mirror
            mirror.execute("COMMIT")

    # Reading -----------------------------------------------------------------------------------

    def find_ticket(self, ticket_id: UUID) -> KnownTicket | None:
        return self._find("t.ticket_id = ?", str(ticket_id))

    def find_latest_ticket(self, event_id: int, account_id: int) -> KnownTicket | None:
        """Return the account's last ticket for an event, as `services.latest_request` does."""
        return self._find("t.event_id = ? AND t.account_id = ?", event_id, account_id)

    def find_pass(self, token: str) -> KnownTicket | None:
        """Return the ticket of the guest who holds a QR token."""
        return self._find("p.qr_token = ?", token)

    def places_of(self, account_id: int) -> dict[int, str]:
        """Return the account's places, as `services.places_of` does."""
        rows = self._read(
            "SELECT event_id, state FROM place WHERE account_id = ? AND state <> 'cancelled'",
            [account_id],
        )
        return dict(rows)

    def has_ended(self, remembered: RememberedAccount) -> bool:
        """Say whether a session is known to have ended. Of an account that has no place this host
        only knows who signed out here while the database was away."""
        if remembered.session_id in _ended_here(remembered.pk):
            return True
        rows = self._read(
            "SELECT session_hashes, is_active, ended_sessions FROM account WHERE id = ?",
            [remembered.pk],
        )
        return any(
            not _is_live(remembered, hashes, is_active, json.loads(ended))
            for hashes, is_active, ended in rows
        )

    def _find(self, condition: str, *values: object) -> KnownTicket | None:
        rows = self._read(f"{KNOWN} WHERE {condition} ORDER BY t.id DESC LIMIT 1", values)
        return self._known(rows[0]) if rows else None

    def _known(self, row: tuple[Any, ...]) -> KnownTicket | None:
        of_ticket, of_event, of_account, of_place = row[:11], row[11:19], row[19:27], row[27:34]
        event = Event(
            **dict(zip(("id", "slug", "title", "venue", "time_zone"), of_event, strict=False)),
            starts_at=datetime.fromisoformat(of_event[5]),
            ends_at=datetime.fromisoformat(of_event[6]),
            requires_proof=bool(of_event[7]),
        )
        now, as_of = timezone.now(), datetime.fromisoformat(row[34])
        if event.ends_at <= now or as_of < now - OLDEST:
            return None
        account = User(
            pk=of_account[0],
            is_active=bool(of_account[2]),
            email=of_account[3],
            browser=of_account[4],
            verified_at=datetime.fromisoformat(of_account[5]) if of_account[5] else None,
            created_at=datetime.fromisoformat(of_account[6]),
            ended_sessions=[*json.loads(of_account[7]), *_ended_here(of_account[0])],
        )
        guest = _guest(event, account, *of_place) if of_place[0] else None
        request = GuestRequest(
            pk=of_ticket[0],
            ticket_id=UUID(of_ticket[1]),
            event=event,
            account=account,
            browser=of_ticket[4],
            name=of_ticket[5],
            state=of_ticket[6],
            refusal=of_ticket[7],
            guest=guest,
            is_second_registration=bool(of_ticket[9]),
            accepted_at=datetime.fromisoformat(of_ticket[10]),
        )
        position = self._position(guest) if guest else None
        return KnownTicket(request, guest, position, of_account[1], row[34])

    def _position(self, guest: Guest) -> int | None:
        if guest.state != Guest.State.WAITING:
            return None
        rows = self._read(
            "SELECT count(*) FROM place WHERE event_id = ? AND state = 'waiting'"
            " AND queue_number < ?",
            [guest.event_id, guest.queue_number],
        )
        return rows[0][0] + 1 if rows else 1

    def _read(self, query: str, values: Iterable[object]) -> list[tuple[Any, ...]]:
        """Return the rows, none when there is no mirror or it cannot be read."""
        if not self.path.exists():
            return []
        try:
            with closing(sqlite3.connect(self.path, timeout=LOCK_TIMEOUT)) as mirror:
                return mirror.execute(query, list(values)).fetchall()
        except sqlite3.Error as error:
            log.warning("mirror_not_read", extra={"error": type(error).__name__})
            return []


def _is_live(
    remembered: RememberedAccount, session_hashes: str, is_active: bool, ended: list[str]
) -> bool:
    if not is_active or remembered.session_id in ended:
        return False
    given = remembered.session_hash
    return any(constant_time_compare(known, given) for known in session_hashes.split())


def _ended_here(account_id: int) -> list[str]:
    """Return the ids of the account's sessions and browsers that signed out on this host while the
    database was away; none when the journal cannot be read."""
    try:
        ended = get_journal().ended_sessions(account_id)
    except JournalError:
        log.exception("ended_sessions_not_read")
        return []
    browsers = [each.browser for each in ended if each.browser]
    return [each.session_id for each in ended] + browsers


def _account_row(
    account_id: int,
    password: str,
    session_nonce: str,
    is_active: bool,
    email: str,
    browser: str,
    verified_at: datetime | None,
    created_at: datetime,
    ended_sessions: list[str],
) -> tuple[Any, ...]:
    account = User(password=password, session_nonce=session_nonce)
    proven = verified_at.isoformat() if verified_at else None
    # Sessions of before a change of the secret key are good as long as that key is named.
    hashes = [account.get_session_auth_hash(), *account.get_session_auth_fallback_hash()]
    return (
        account_id,
        " ".join(hashes),
        is_active,
        email,
        browser,
        proven,
        created_at.isoformat(),
        json.dumps(ended_sessions),
    )


def _guest(
    event: Event,
    account: User,
    pk: int,
    _event_id: int,
    _account_id: int,
    name: str,
    state: str,
    queue_number: int,
    qr_token: str | None,
) -> Guest:
    return Guest(
        pk=pk,
        event=event,
        account=account,
        name=name,
        state=state,
        queue_number=queue_number,
        qr_token=qr_token,
    )


def _forget_other_events(mirror: sqlite3.Connection) -> None:
    for table in ("place", "ticket"):
        mirror.execute(f"DELETE FROM {table} WHERE event_id NOT IN (SELECT id FROM event)")  # noqa: S608
    mirror.execute("DELETE FROM account WHERE id NOT IN (SELECT account_id FROM ticket)")


def get_mirror() -> Mirror:
    """Return this host's mirror, beside its journal."""
    return Mirror(settings.JOURNAL_PATH.with_name(f"places-{VERSION}.sqlite3"))
