"""What a socket asks of the database before it opens: whose the ticket is, and how it stands."""

from asyncio import Future, Task, create_task, get_running_loop
from typing import Any
from uuid import UUID

from channels.db import DatabaseSyncToAsync

from accounts.sessions import is_session_of
from guests.models import GuestRequest
from guests.tickets import Ticket, seconds_left, ticket_of

# A ticket id, and the session of whoever wants it.
Wanted = tuple[UUID, Any]
# A ticket and the seconds to wait; None for whoever it does not belong to.
Found = tuple[Ticket, int] | None

MOST_AT_ONCE = 100


def find_tickets(wanted: list[Wanted]) -> list[Found]:
    """Return each ticket if the session beside it is that of the account that owns it.

    One query for all, and one for each that has a position.
    """
    rows = GuestRequest.objects.filter(ticket_id__in={ticket_id for ticket_id, _ in wanted})
    by_id = {request.ticket_id: request for request in rows.to_tell()}
    return [_found(by_id.get(ticket_id), session) for ticket_id, session in wanted]


def _found(request: GuestRequest | None, session: Any) -> Found:
    if request is None or not is_session_of(session, request.account):
        return None
    return ticket_of(request), seconds_left(request)


# Not in the thread that asgiref has for all that is synchronous.
find_tickets_aside = DatabaseSyncToAsync(find_tickets, thread_sensitive=False)


class Lookups:
    """Looks tickets up for sockets: all that are wanted while one look-up runs, in the next.

    One thread works for them, since each look-up of its own would cost the event loop the
    interpreter's lock several times.
    """

    def __init__(self) -> None:
        self._wanted: list[tuple[Wanted, Future[Found]]] = []
        self._task: Task[None] | None = None

    async def find(self, ticket_id: UUID, session: Any) -> Found:
        """Return what `find_tickets` finds. Raises what that raises, for all it was asked for."""
        found: Future[Found] = get_running_loop().create_future()
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
            for (_, found), answer in zip(batch, answers, strict=True):
                if not found.done():
                    found.set_result(answer)
