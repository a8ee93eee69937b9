"""Decides who may see a ticket and how much of it: one rule for pages, API and sockets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any
from uuid import UUID

from accounts.sessions import BROWSER_KEY, is_session_of
from guests.emergency.intake import find_dead_tickets
from guests.models import GuestRequest
from guests.requests.tickets import Ticket, seconds_left, ticket_of, ticket_sent_by_email
from promo.emergency import QUEUED_SECONDS, session_has_ticket

# The id of a ticket, and the session that asks for it.
TicketQuery = tuple[UUID, Any]


class TicketAccess(Enum):
    """Why a session may see a ticket.

    `ACCOUNT`: its account owns the ticket. `BROWSER`: its browser registered that account in an
    emergency. Both see the whole ticket. `GIVEN`: this browser was given the ticket in an
    emergency, but the owner may be another person. It sees only whether the request is queued, was
    refused or was answered by email.
    """

    NOTHING = auto()
    GIVEN = auto()
    BROWSER = auto()
    ACCOUNT = auto()


@dataclass(frozen=True)
class FoundTicket:
    """A ticket as one session may see it.

    `ticket` is None without access, and while the request waits in a journal. `stored` is None in
    both cases, and for a request that is dead in the journal. `wait`: estimated seconds until the
    request ends.
    """

    access: TicketAccess
    stored: GuestRequest | None = None
    ticket: Ticket | None = None
    wait: int = 0

    @property
    def is_in_journal(self) -> bool:
        """Whether the request can only be in a journal: it is not in the database."""
        return self.access is TicketAccess.GIVEN and self.stored is None


def decide_access(ticket_id: UUID, stored: GuestRequest | None, session: Any) -> TicketAccess:
    """Return why the session may see a ticket. `stored` is its request, if it is in the database.

    The browser's id alone gives no access: it stays when the visitor signs out. The list of given
    tickets is deleted then.
    """
    if stored is not None and is_session_of(session, stored.account):
        return TicketAccess.ACCOUNT
    if not session_has_ticket(session, ticket_id):
        return TicketAccess.NOTHING
    if stored is not None and _is_registered_by(stored, session):
        return TicketAccess.BROWSER
    return TicketAccess.GIVEN


def _is_registered_by(stored: GuestRequest, session: Any) -> bool:
    browser = session.get(BROWSER_KEY, "")
    account = stored.account
    return stored.browser == browser and account.is_known_in(browser) and account.is_active


def find_ticket(ticket_id: UUID, session: Any) -> FoundTicket:
    """Return a ticket as the session may see it.

    One query, one more for its position, and one or two more when it is in a journal.
    """
    return find_tickets([(ticket_id, session)])[0]


def find_tickets(queries: Sequence[TicketQuery]) -> list[FoundTicket]:
    """Return each ticket as the session beside it may see it.

    One query for all, and one for each position. One or two more for all that are in a journal.
    """
    ticket_ids = {ticket_id for ticket_id, _session in queries}
    stored = GuestRequest.objects.with_ticket_details().in_bulk(ticket_ids, field_name="ticket_id")
    found, in_journal = [], set()
    for ticket_id, session in queries:
        each = _apply_access(ticket_id, stored.get(ticket_id), session)
        found.append(each)
        if each.is_in_journal:
            in_journal.add(ticket_id)
    if not in_journal:
        return found
    dead = find_dead_tickets(in_journal)
    for index, (ticket_id, _session) in enumerate(queries):
        if found[index].is_in_journal and ticket_id in dead:
            found[index] = replace(found[index], ticket=dead[ticket_id])
    return found


def _apply_access(ticket_id: UUID, stored: GuestRequest | None, session: Any) -> FoundTicket:
    access = decide_access(ticket_id, stored, session)
    if access is TicketAccess.NOTHING:
        return FoundTicket(access)
    if stored is None:
        return FoundTicket(access, wait=QUEUED_SECONDS)
    if access is TicketAccess.GIVEN:
        return FoundTicket(access, stored, ticket_sent_by_email(stored), QUEUED_SECONDS)
    return FoundTicket(access, stored, ticket_of(stored), seconds_left(stored))
