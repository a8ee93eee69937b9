"""The websocket process and Valkey restart under open pages, and each page shows its end."""

import asyncio
import random
import threading
import time
from contextlib import suppress

import httpx
import pytest
from django.db.models.functions import Now

from guests.models import Event, GuestRequest
from snap.local.embedded import Valkey
from tests.bench import wire
from tests.factories import make_accounts, make_event
from tests.faults.breaking import pause
from tests.faults.pages import WITH_SOCKET, Page
from tests.faults.people import Person, sign_in
from tests.faults.scenario import Conclude, Form, MakeStorm
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes


class Pages:
    """Many open pages, each of a person with a ticket."""

    def __init__(self, stack: Stack, tickets: list[tuple[Person, str]]) -> None:
        self.stack = stack
        self.tickets = tickets
        self.pages: list[Page] = []
        self.ended_at: dict[str, float] = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._open_all()))

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def connected(self) -> int:
        """Return how many pages have a socket now."""
        return sum(page.has_socket for page in list(self.pages))

    def heard_by_socket(self) -> int:
        return sum(page.heard_by_socket for page in list(self.pages))

    async def _open_all(self) -> None:
        async with httpx.AsyncClient(
            base_url=self.stack.url, limits=httpx.Limits(max_connections=100), timeout=30
        ) as self._client:
            await asyncio.wait_for(
                asyncio.gather(*(self._open(*each) for each in self.tickets)), timeout=240
            )

    async def _open(self, person: Person, ticket: str) -> None:
        await asyncio.sleep(random.uniform(0, len(self.tickets) / 100))

        async def ask() -> str:
            url = f"/api/client-auth/guests/requests/{ticket}"
            with suppress(httpx.TransportError):
                response = await self._client.get(url, headers=person.headers())
                if response.is_success:
                    return str(response.json()["state"])
            return ""

        async def connect() -> wire.Socket:
            return await wire.Socket.open(
                f"{self.stack.sockets_url}/ws/promo/{ticket}/",
                origin=self.stack.url.encode(),
                cookies=person.headers()["Cookie"].encode(),
            )

        page = Page("processing", ask, connect)
        self.pages.append(page)
        await page.follow()
        self.ended_at[ticket] = time.time()


def pending_tickets(event: Event, size: int) -> list[tuple[Person, str]]:
    """Return people with pending tickets, which the test makes due later."""
    requests = GuestRequest.objects.bulk_create(
        GuestRequest(event=event, account=account, phone=account.phone or "", name=account.name)
        for account in make_accounts(size)
    )
    return [(sign_in(request.account), str(request.ticket_id)) for request in requests]


@pytest.mark.slow
def test_websockets_and_valkey_restarted_under_open_pages(
    faulty: Stack, valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The sockets drop, or stay open without pushes. Pages poll, less often with a socket.

    The protection is the polling (`ask` in ticket.js). Without it a page whose socket is silent,
    because Valkey restarted, waits for ever.
    """
    size = int(form(50, 1000))
    event = make_event(capacity=size)
    faulty.kill("worker")
    faulty.kill("sweeper")
    pages = Pages(faulty, pending_tickets(event, size))
    pages.start()
    wait_for(lambda: pages.connected() == size, form(30, 120))
    faulty.kill("ws")
    faulty.start("ws")
    wait_for(lambda: pages.connected() >= size * 0.9, form(30, 120))
    valkey.stop("immediate")
    valkey.start()
    GuestRequest.objects.filter(event=event).update(next_attempt_at=Now())
    faulty.start("worker", "sweeper")
    healed_at = time.time()
    storm = make_storm(20, rate=10)
    with storm:
        pause(1)
        # The processes have just started: on a busy machine the first response takes longer.
        wait_for(storm.slowest, 20)
    pages.join(60)
    assert len(pages.ended_at) == size, f"{size - len(pages.ended_at)} pages never showed the end"
    last = max(pages.ended_at.values()) - healed_at
    assert last < WITH_SOCKET * 1.2 + 5, f"the last page showed the end after {last:.1f} s"
    conclude(
        storm,
        broken=f"The websocket process was killed under {size:,} open pages, and then Valkey, while"
        f" their tickets waited. {pages.heard_by_socket():,} pages showed the end by socket, the"
        f" others by polling, the last after {max(last, 0):.1f} s.",
        healed_at=healed_at,
    )
