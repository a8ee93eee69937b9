"""The emergency intake: accepting requests while the database is away (spec section 9, level 3)."""

import logging
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from .journal import Entry, the_journal
from .models import Event, Promoter, Team
from .services import check_list_takes_requests
from .snapshots import recall_by_id
from .tickets import Ticket, without_guest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registration:
    """What somebody writes about themselves whose phone may be unknown."""

    first_name: str
    last_name: str
    email: str


@dataclass(frozen=True)
class AccountSession:
    """An account and its session, by which draining finds out whether it was signed in."""

    account_id: int
    session_hash: str
    session_id: str


def accept_request(
    event: Event,
    *,
    phone: str,
    browser: str,
    language: str,
    promoter: Promoter | None = None,
    team: Team | None = None,
    session: AccountSession | None = None,
    registration: Registration | None = None,
    name: str = "",
    idempotency_key: str = "",
) -> Ticket:
    """Write a request for a phone (E.164) into the journal; return its ticket once it is synced.

    `browser` is the browser's own random id: each browser has a ticket of its own. Needs neither
    the database nor Redis. Raises GuestError when the list takes no requests, and `key_reused`;
    JournalError: then nothing was accepted.
    """
    check_list_takes_requests(event)
    written: dict[str, Any] = asdict(registration) if registration else {}
    signed_in: dict[str, Any] = asdict(session) if session else {}
    ticket_id = the_journal().accept(
        Entry(
            event_id=event.pk,
            event_slug=event.slug,
            phone=phone,
            promoter_id=promoter.pk if promoter else None,
            team_id=team.pk if team else None,
            browser=browser,
            language=language,
            name=name,
            idempotency_key=idempotency_key,
            **signed_in,
            **written,
        )
    )
    log.warning("guest_request_journalled", extra={"ticket_id": ticket_id})
    return queued_ticket(event, ticket_id)


@dataclass(frozen=True)
class KeptTicket:
    """A ticket of this host's journal, and the account whose session asked, if one did."""

    ticket: Ticket
    account_id: int | None


def find_kept_ticket(ticket_id: UUID, event: Event | None = None) -> KeptTicket | None:
    """Return a ticket of this host's journal, or None. Raises JournalError."""
    stored = the_journal().find(str(ticket_id))
    if stored is None or (event and stored.entry.event_id != event.pk):
        return None
    event = event or recall_by_id(stored.entry.event_id).event
    told = failed_ticket if stored.state == "dead" else queued_ticket
    return KeptTicket(told(event, str(ticket_id)), stored.entry.account_id)


def queued_ticket(event: Event, ticket_id: str) -> Ticket:
    """Return the ticket of a request in the journal: queued, and never called confirmed."""
    return without_guest(event, ticket_id, "queued")


def failed_ticket(event: Event, ticket_id: str) -> Ticket:
    """Return the ticket of a request that ran out of attempts: staff look after it."""
    return without_guest(event, ticket_id, "failed")
