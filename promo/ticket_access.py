"""Who may see a ticket, and what they see of it: one rule for the page, the API and the sockets."""

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

# A ticket id, and the session that wants to see the ticket.
Wanted = tuple[UUID, Any]


class TicketAccess(Enum):
    """Why a session may see a ticket.

    `ACCOUNT`: its account owns the ticket. `BROWSER`: its browser registered that account in an
    emergency. Both see everything. `GIVEN`: the ticket was given to this browser in an emergency,
    and the owner may be another person: it learns that the request is queued, was refused or was
    answered by email.
    """

    NOTHING = auto()
    GIVEN = auto()
    BROWSER = auto()
    ACCOUNT = auto()


@dataclass(frozen=True)
class FoundTicket:
    """A ticket as one session may see it.

    `ticket` is None when nothing may be seen, and while the request waits in a journal. `stored` is
    None also for one that is dead there.
    """

    sight: TicketAccess
    stored: GuestRequest | None = None
    ticket: Ticket | None = None
    wait: int = 0


def decide_access(ticket_id: UUID, stored: GuestRequest | None, session: Any) -> TicketAccess:
    """Return why the session may see a ticket. `stored` is its request, if it is in the database.

    The browser alone is not enough: its id outlives signing out, the tickets it was given do not.
    """
    if stored is not None and is_session_of(session, stored.account):
        return TicketAccess.ACCOUNT
    if not session_has_ticket(session, ticket_id):
        return TicketAccess.NOTHING
    if stored is not None and _registered_here(stored, session):
        return TicketAccess.BROWSER
    return TicketAccess.GIVEN


def _registered_here(stored: GuestRequest, session: Any) -> bool:
    browser = session.get(BROWSER_KEY, "")
    account = stored.account
    return stored.browser == browser and account.is_known_in(browser) and account.is_active


def find_ticket(ticket_id: UUID, session: Any) -> FoundTicket:
    """Return a ticket as the session may see it. One query, and one more if it has a position.

    One or two more for one that is in a journal.
    """
    return find_tickets([(ticket_id, session)])[0]


def find_tickets(wanted: Sequence[Wanted]) -> list[FoundTicket]:
    """Return each ticket as the session beside it may see it.

    One query for all, and one for each that has a position. One or two more for those together
    that are in a journal.
    """
    rows = GuestRequest.objects.filter(ticket_id__in={ticket_id for ticket_id, _ in wanted})
    by_id = {request.ticket_id: request for request in rows.with_ticket_details()}
    found = [_see(ticket_id, by_id.get(ticket_id), session) for ticket_id, session in wanted]
    kept = {
        ticket_id
        for (ticket_id, _), each in zip(wanted, found, strict=True)
        if each.sight is TicketAccess.GIVEN and each.stored is None
    }
    if not kept:
        return found
    dead = find_dead_tickets(kept)
    return [
        replace(each, ticket=dead[ticket_id])
        if each.sight is TicketAccess.GIVEN and ticket_id in dead
        else each
        for (ticket_id, _), each in zip(wanted, found, strict=True)
    ]


def _see(ticket_id: UUID, stored: GuestRequest | None, session: Any) -> FoundTicket:
    sight = decide_access(ticket_id, stored, session)
    if sight is TicketAccess.NOTHING:
        return FoundTicket(sight)
    if stored is None:
        return FoundTicket(sight, wait=QUEUED_SECONDS)
    if sight is TicketAccess.GIVEN:
        return FoundTicket(sight, stored, ticket_sent_by_email(stored), QUEUED_SECONDS)
    return FoundTicket(sight, stored, ticket_of(stored), seconds_left(stored))
