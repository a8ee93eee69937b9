"""Accept requests without the database (docs/reference.md, Emergency levels, level 3)."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from accounts.mailboxes import likely_domain, masked_email
from guests.emergency.entries import Entry
from guests.emergency.journal import get_journal
from guests.emergency.snapshots import load_event_by_id
from guests.models import DeadEntry, Event, Promoter, Team
from guests.requests.accepting import check_list_takes_requests
from guests.requests.tickets import Ticket, TicketState, ticket_without_guest
from snap.observability.context import current, set_ticket
from snap.observability.steps import ACCEPTED, count_step

log = logging.getLogger(__name__)

# The error of a dead entry whose email belongs to another account. Another attempt cannot succeed:
# the ticket is refused, and the person may request a place with another email.
EMAIL_TAKEN = "email_taken"


@dataclass(frozen=True)
class Registration:
    """The personal details of a person whose phone may be unknown."""

    first_name: str
    last_name: str
    email: str


@dataclass(frozen=True)
class AccountSession:
    """An account and its session. Draining checks with them whether the session was valid."""

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

    `browser` is the browser's own random id: each browser has its own ticket. Needs neither the
    database nor Redis. Raises GuestError when the list takes no requests, and `key_reused`; raises
    JournalError when the request was not written.
    """
    check_list_takes_requests(event)
    details: dict[str, Any] = {}
    if session:
        details |= asdict(session)
    if registration:
        details |= asdict(registration)
    if promoter:
        details["promoter_id"] = promoter.pk
    if team:
        details["team_id"] = team.pk
    entry = Entry(
        event_id=event.pk,
        event_slug=event.slug,
        phone=phone,
        browser=browser,
        language=language,
        name=name,
        idempotency_key=idempotency_key,
        request_id=current().request_id,
        traceparent=current().traceparent,
        **details,
    )
    ticket_id = get_journal().accept(entry)
    set_ticket(ticket_id)
    count_step(ACCEPTED)
    log.warning("guest_request_journalled")
    return queued_ticket(event, ticket_id, email=entry.email)


@dataclass(frozen=True)
class JournalledTicket:
    """A ticket of this host's journal, and the account that was signed in, if any."""

    ticket: Ticket
    account_id: int | None


def find_journalled_ticket(ticket_id: UUID, event: Event | None = None) -> JournalledTicket | None:
    """Return a ticket of this host's journal, or None when it has none for the event.

    Raises JournalError.
    """
    stored = get_journal().find(str(ticket_id))
    if stored is None:
        return None
    if event is None:
        event = load_event_by_id(stored.entry.event_id).event
    elif stored.entry.event_id != event.pk:
        return None
    if stored.state == "dead":
        ticket = dead_ticket(event, str(ticket_id), stored.error)
    else:
        ticket = queued_ticket(event, str(ticket_id), email=stored.entry.email)
    return JournalledTicket(ticket, stored.entry.account_id)


def queued_ticket(event: Event, ticket_id: str, *, email: str = "") -> Ticket:
    """Return the ticket of a request in the journal: `queued`, which never means confirmed.

    `email` is the one that was given with the request, if any.
    """
    ticket = ticket_without_guest(event, ticket_id, TicketState.QUEUED)
    return replace(ticket, email_hint=masked_email(email), likely_domain=likely_domain(email))


def dead_ticket(event: Event, ticket_id: str, error: str) -> Ticket:
    """Return the ticket of a dead entry: `refused` for EMAIL_TAKEN, else `failed`."""
    if error == EMAIL_TAKEN:
        return ticket_without_guest(event, ticket_id, TicketState.REFUSED, refusal=error)
    return ticket_without_guest(event, ticket_id, TicketState.FAILED)


def find_dead_tickets(ticket_ids: Iterable[UUID]) -> dict[UUID, Ticket]:
    """Return, by ticket id, the tickets whose entries are dead in the journal of any host.

    One query, and one more when there are any.
    """
    entries = list(DeadEntry.objects.filter(ticket_id__in=ticket_ids))
    if not entries:
        return {}
    slugs = {entry.event_slug for entry in entries}
    events = Event.objects.with_database_time().in_bulk(slugs, field_name="slug")
    tickets = {}
    for entry in entries:
        if event := events.get(entry.event_slug):
            tickets[entry.ticket_id] = dead_ticket(event, str(entry.ticket_id), entry.error)
    return tickets
