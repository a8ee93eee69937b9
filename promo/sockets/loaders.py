"""Load what sockets show, in batches: tickets and passes."""

from asyncio import Future, Task, create_task, get_running_loop
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from channels.db import DatabaseSyncToAsync

from guests.models import Guest
from guests.passes.holders import PassQuery, find_held_passes
from promo.ticket_access import FoundTicket, TicketQuery, find_tickets
from snap.resilience.database import guarded_database

MAX_BATCH = 100

Query = TypeVar("Query")
Found = TypeVar("Found")


class BatchLoader(Generic[Query, Found]):
    """Finds values for sockets, one batch at a time.

    Values that are asked for while a batch is loaded go into the next one. With a thread for each
    socket, the event loop would wait several times for the interpreter's lock.

    `find_many` returns the result of each query, in their order. It runs through the database's
    breaker.
    """

    def __init__(self, find_many: Callable[[Sequence[Query]], list[Found]]) -> None:
        def find_many_guarded(queries: Sequence[Query]) -> list[Found]:
            with guarded_database():
                return find_many(queries)

        # Runs in a thread of a pool, not in the one thread that asgiref shares for all synchronous
        # code.
        self._find_many: Callable[[Sequence[Query]], Awaitable[list[Found]]] = DatabaseSyncToAsync(
            find_many_guarded, thread_sensitive=False
        )
        self._pending: list[tuple[Query, Future[Found]]] = []
        self._task: Task[None] | None = None

    async def find(self, query: Query) -> Found:
        """Return the result of a query. Raises the error of its batch."""
        found: Future[Found] = get_running_loop().create_future()
        self._pending.append((query, found))
        if self._task is None or self._task.done():
            self._task = create_task(self._load_pending())
        return await found

    async def _load_pending(self) -> None:
        while self._pending:
            batch = self._pending[:MAX_BATCH]
            self._pending = self._pending[MAX_BATCH:]
            await self._load_batch(batch)

    async def _load_batch(self, batch: list[tuple[Query, Future[Found]]]) -> None:
        queries, futures = zip(*batch, strict=True)
        try:
            results = await self._find_many(queries)
        except Exception as error:  # noqa: BLE001 (each `find` raises it)
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in zip(futures, results, strict=True):
            # A socket that has closed meanwhile has cancelled its future.
            if not future.done():
                future.set_result(result)


ticket_loader: BatchLoader[TicketQuery, FoundTicket] = BatchLoader(find_tickets)
pass_loader: BatchLoader[PassQuery, Guest | None] = BatchLoader(find_held_passes)
