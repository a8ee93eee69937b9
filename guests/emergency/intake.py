"""Accepts requests while the database is away (docs/reference.md, Emergency levels, level 3)."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from guests.emergency.journal import Entry, get_journal
from guests.emergency.snapshots import load_event_by_id
from guests.models import DeadEntry, Event, Promoter, Team
from guests.requests.accepting import check_list_takes_requests
from guests.requests.tickets import Ticket, ticket_without_guest

log = logging.getLogger(__name__)

# Why an entry is dead that nobody but its writer can mend: the code of the refusal it is told.
EMAIL_TAKEN = "email_taken"


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
    ticket_id = get_journal().accept(
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
    stored = get_journal().find(str(ticket_id))
    if stored is None or (event and stored.entry.event_id != event.pk):
        return None
    event = event or load_event_by_id(stored.entry.event_id).event
    if stored.state == "dead":
        ticket = dead_ticket(event, str(ticket_id), stored.error)
    else:
        ticket = queued_ticket(event, str(ticket_id))
    return KeptTicket(ticket, stored.entry.account_id)


def queued_ticket(event: Event, ticket_id: str) -> Ticket:
    """Return the ticket of a request in the journal: queued, and never called confirmed."""
    return ticket_without_guest(event, ticket_id, "queued")


def dead_ticket(event: Event, ticket_id: str, error: str) -> Ticket:
    """Return the ticket of an entry that was given up because of an error.

    Staff look after it, unless the person who wrote it has to write something else.
    """
    if error == EMAIL_TAKEN:
        return ticket_without_guest(event, ticket_id, "refused", refusal=error)
    return ticket_without_guest(event, ticket_id, "failed")


def find_dead_tickets(ticket_ids: Iterable[UUID]) -> dict[UUID, Ticket]:
    """Return the tickets among these that are dead in the journal of any host.

    One query, and one more when there are any.
    """
    dead = {entry.ticket_id: entry for entry in DeadEntry.objects.filter(ticket_id__in=ticket_ids)}
    slugs = {entry.event_slug for entry in dead.values()}
    events = {event.slug: event for event in Event.objects.filter(slug__in=slugs)} if dead else {}
    return {
        ticket_id: dead_ticket(events[entry.event_slug], str(ticket_id), entry.error)
        for ticket_id, entry in dead.items()
        if entry.event_slug in events
    }
