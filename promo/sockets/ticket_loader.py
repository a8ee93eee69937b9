"""Loads tickets for sockets in batches."""

from asyncio import Future, Task, create_task, get_running_loop
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from channels.db import DatabaseSyncToAsync

from promo.ticket_access import FoundTicket, Wanted, find_tickets
from snap.resilience.database import guarded_database

MOST_AT_ONCE = 100


def find_tickets_for_sockets(wanted: Sequence[Wanted]) -> list[FoundTicket]:
    """Do the same through the database's breaker. Raises DatabaseAwayError."""
    with guarded_database():
        return find_tickets(wanted)


# Not in the thread that asgiref has for all that is synchronous.
find_tickets_aside = DatabaseSyncToAsync(find_tickets_for_sockets, thread_sensitive=False)


class TicketLoader:
    """Looks tickets up for sockets: all that are wanted while one look-up runs, in the next.

    One thread works for them, since each look-up of its own would cost the event loop the
    interpreter's lock several times.
    """

    def __init__(self) -> None:
        self._wanted: list[tuple[Wanted, Future[FoundTicket]]] = []
        self._task: Task[None] | None = None

    async def find(self, ticket_id: UUID, session: Any) -> FoundTicket:
        """Return what `find_tickets` finds. Raises DatabaseAwayError, for all of one batch."""
        found: Future[FoundTicket] = get_running_loop().create_future()
        self._wanted.append(((ticket_id, session), found))
        if self._task is None or self._task.done():
            self._task = create_task(self._look_up())
        return await found

    async def _look_up(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted[:MOST_AT_ONCE], self._wanted[MOST_AT_ONCE:]
            try:
                answers = await find_tickets_aside([wanted for wanted, _ in batch])
            except Exception as error:  # noqa: BLE001 (it is raised where it was asked)
                for _, found in batch:
                    if not found.done():
                        found.set_exception(error)
                continue
            for (_, found), response in zip(batch, answers, strict=True):
                if not found.done():
                    found.set_result(response)
