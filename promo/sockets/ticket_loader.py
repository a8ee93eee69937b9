"""Loads the tickets of sockets in batches."""

from asyncio import Future, Task, create_task, get_running_loop
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from channels.db import DatabaseSyncToAsync

from promo.ticket_access import FoundTicket, TicketQuery, find_tickets
from snap.resilience.database import guarded_database

MAX_BATCH = 100

# A ticket that a socket waits for.
PendingTicket = tuple[TicketQuery, Future[FoundTicket]]


def find_tickets_guarded(queries: Sequence[TicketQuery]) -> list[FoundTicket]:
    """Call `find_tickets` through the database's breaker. Raises DatabaseUnavailableError."""
    with guarded_database():
        return find_tickets(queries)


# Runs in a thread of a pool, not in the one thread that asgiref shares for all synchronous code.
find_tickets_in_thread = DatabaseSyncToAsync(find_tickets_guarded, thread_sensitive=False)


class TicketLoader:
    """Loads tickets for sockets, one batch at a time.

    Tickets that are asked for while a batch is loaded go into the next one. With a thread for each
    socket, the event loop would wait several times for the interpreter's lock.
    """

    def __init__(self) -> None:
        self._pending: list[PendingTicket] = []
        self._task: Task[None] | None = None

    async def find(self, ticket_id: UUID, session: Any) -> FoundTicket:
        """Return the ticket that `find_tickets` finds. Raises the error of its batch."""
        found: Future[FoundTicket] = get_running_loop().create_future()
        self._pending.append(((ticket_id, session), found))
        if self._task is None or self._task.done():
            self._task = create_task(self._load_pending())
        return await found

    async def _load_pending(self) -> None:
        while self._pending:
            batch = self._pending[:MAX_BATCH]
            self._pending = self._pending[MAX_BATCH:]
            await _load_batch(batch)


async def _load_batch(batch: list[PendingTicket]) -> None:
    queries, futures = zip(*batch, strict=True)
    try:
        tickets = await find_tickets_in_thread(queries)
    except Exception as error:  # noqa: BLE001 (each `find` raises it)
        for future in futures:
            if not future.done():
                future.set_exception(error)
        return
    for future, ticket in zip(futures, tickets, strict=True):
        # A socket that has closed meanwhile has cancelled its future.
        if not future.done():
            future.set_result(ticket)
