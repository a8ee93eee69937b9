"""Sockets that open together: looked up together, each by its own session, or failing together."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from promo.sockets.ticket_loader import MOST_AT_ONCE, TicketLoader
from promo.ticket_access import FoundTicket
from tests.factories import make_event, make_request
from tests.helpers.sessions import SessionStore, session_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wanted() -> list[tuple[Any, Any]]:
    event = make_event()
    requests = [make_request(event) for _ in range(3)]
    return [(r.ticket_id, SessionStore(session_of(r.account))) for r in requests]


def find(lookups: TicketLoader, wanted: list[tuple[Any, Any]]) -> list[FoundTicket | BaseException]:
    """Ask for all of them at the same time."""

    async def ask() -> list[FoundTicket | BaseException]:
        asked = [lookups.find(*one) for one in wanted]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask())


def tickets(found: list[FoundTicket | BaseException]) -> list[str | None]:
    return [
        one.ticket.ticket_id if isinstance(one, FoundTicket) and one.ticket else None
        for one in found
    ]


def test_each_gets_its_own(wanted: list[tuple[Any, Any]]) -> None:
    crowd = wanted * MOST_AT_ONCE
    assert tickets(find(TicketLoader(), crowd)) == [str(ticket) for ticket, _ in crowd]


def test_nobody_gets_what_is_somebody_elses(wanted: list[tuple[Any, Any]]) -> None:
    (first, own), (second, other), (third, _) = wanted
    asked = [(first, other), (first, own), (second, own), (uuid4(), own), (third, other)]
    assert tickets(find(TicketLoader(), asked)) == [None, str(first), None, None, None]


def test_what_fails_fails_for_those_who_asked_and_for_nobody_after(
    wanted: list[tuple[Any, Any]],
) -> None:
    lookups = TicketLoader()
    failed = find(lookups, [wanted[0], (wanted[1][0], None)])
    assert [type(error) for error in failed] == [AttributeError, AttributeError]
    assert tickets(find(lookups, wanted)) == [str(ticket) for ticket, _ in wanted]
