"""Sockets that open at the same time: one query finds their tickets, each by its session."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from promo.sockets.loaders import MAX_BATCH, BatchLoader
from promo.ticket_access import FoundTicket, find_tickets
from tests.factories import make_event, make_request
from tests.helpers.sessions import SessionStore, session_of

pytestmark = pytest.mark.django_db(transaction=True)

# A ticket's id and the session that asks for it.
Query = tuple[UUID, Any]
Result = FoundTicket | BaseException


@pytest.fixture
def queries() -> list[Query]:
    """Three tickets, each with the session of its owner."""
    event = make_event()
    found = []
    for _ in range(3):
        request = make_request(event)
        found.append((request.ticket_id, SessionStore(session_of(request.account))))
    return found


def find_all(loader: BatchLoader[Query, FoundTicket], queries: list[Query]) -> list[Result]:
    """Ask for all of them at the same time."""

    async def gather() -> list[Result]:
        searches = [loader.find(query) for query in queries]
        return await asyncio.gather(*searches, return_exceptions=True)

    return asyncio.run(gather())


def ticket_id_of(found: Result) -> UUID | None:
    """Return the ticket that was found, None without access to it."""
    assert isinstance(found, FoundTicket)
    if found.ticket is None:
        return None
    return UUID(found.ticket.ticket_id)


def test_each_socket_gets_its_own_ticket(queries: list[Query]) -> None:
    crowd = queries * MAX_BATCH
    results = find_all(BatchLoader(find_tickets), crowd)
    for found, (ticket_id, _session) in zip(results, crowd, strict=True):
        assert ticket_id_of(found) == ticket_id


def test_a_session_gets_no_ticket_of_another_account(queries: list[Query]) -> None:
    (first, own), (second, other), (third, _) = queries
    asked = [(first, other), (first, own), (second, own), (uuid4(), own), (third, other)]
    found = list(map(ticket_id_of, find_all(BatchLoader(find_tickets), asked)))
    assert found == [None, first, None, None, None]


def test_an_error_affects_only_the_sockets_of_its_query(queries: list[Query]) -> None:
    loader = BatchLoader(find_tickets)
    no_session = (queries[1][0], None)
    failed = find_all(loader, [queries[0], no_session])
    assert list(map(type, failed)) == [AttributeError, AttributeError]
    after = list(map(ticket_id_of, find_all(loader, queries)))
    assert after == [ticket_id for ticket_id, _session in queries]
