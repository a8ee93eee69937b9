"""The websocket process and Valkey restart under open pages; all the same each hears its end."""

import asyncio
import json
import random
import threading
import time
from contextlib import suppress

import httpx
import pytest
from django.db.models.functions import Now
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from guests.models import Event, GuestRequest
from snap.embedded import Valkey
from tests.factories import make_accounts, make_event
from tests.stack import Stack, wait_for

from .breaking import pause
from .conftest import Conclude, Form, MakeStorm
from .storm import Person, sign_in

pytestmark = pytest.mark.processes

# As static/js/ticket.js has them, in seconds.
WITHOUT_SOCKET = 1.0
WITH_SOCKET = 15.0


class Pages:
    """Open pages that do as static/js/ticket.js does: a socket, and polling beside it."""

    def __init__(self, stack: Stack, tickets: list[tuple[Person, str]]) -> None:
        self.stack = stack
        self.tickets = tickets
        self.connected: set[str] = set()
        self.ended_at: dict[str, float] = {}
        self.by_socket = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._open_all()))

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    async def _open_all(self) -> None:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(
            base_url=self.stack.url, limits=limits, timeout=30
        ) as self._client:
            await asyncio.wait_for(
                asyncio.gather(*(self._open(*each) for each in self.tickets)), timeout=240
            )

    async def _open(self, person: Person, ticket: str) -> None:
        await asyncio.sleep(random.uniform(0, len(self.tickets) / 100))
        tasks = [
            asyncio.create_task(self._listen(person, ticket)),
            asyncio.create_task(self._poll(person, ticket)),
        ]
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self.ended_at[ticket] = time.time()
        self.by_socket += tasks[0] in done
        for task in left:
            task.cancel()
        for task in done:
            task.result()

    async def _listen(self, person: Person, ticket: str) -> None:
        wait = 1.0
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                async with connect(
                    f"ws://localhost:{self.stack.ws_port}/ws/guest-updates/{ticket}/",
                    origin=self.stack.url,  # type: ignore[arg-type]
                    additional_headers={"Cookie": person.headers()["Cookie"]},
                    proxy=None,
                ) as socket:
                    self.connected.add(ticket)
                    wait = 1.0
                    async for message in socket:
                        if json.loads(message)["type"] != "guest_processing":
                            return
            self.connected.discard(ticket)
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(wait * 2, 8)

    async def _poll(self, person: Person, ticket: str) -> None:
        url = f"/api/client-auth/guests/requests/{ticket}"
        while True:
            pause = WITH_SOCKET if ticket in self.connected else WITHOUT_SOCKET
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            with suppress(httpx.TransportError):
                answer = await self._client.get(url, headers=person.headers())
                if answer.is_success and answer.json()["state"] in {"created", "waitlisted"}:
                    return


def pending_tickets(event: Event, size: int) -> list[tuple[Person, str]]:
    """Return people with tickets that nobody works on before an hour is over."""
    requests = GuestRequest.objects.bulk_create(
        GuestRequest(event=event, account=account, phone=account.phone or "", name=account.name)
        for account in make_accounts(size)
    )
    return [(sign_in(request.account), str(request.ticket_id)) for request in requests]


def test_websockets_and_valkey_restarted_under_open_pages(
    faulty: Stack, valkey: Valkey, make_storm: MakeStorm, conclude: Conclude, form: Form
) -> None:
    """The sockets drop, or stay open without pushes; a page that has none polls, and one polls
    seldom that has one.

    The protection is that polling: without `_poll` here (`ask` in ticket.js) a page whose socket
    went silent with Valkey waits for ever.
    """
    size = int(form(50, 1000))
    event = make_event(capacity=size)
    faulty.kill("worker")
    faulty.kill("sweeper")
    pages = Pages(faulty, pending_tickets(event, size))
    pages.start()
    wait_for(lambda: len(pages.connected) == size, form(30, 120))
    faulty.kill("ws")
    faulty.start("ws")
    wait_for(lambda: len(pages.connected) >= size * 0.9, form(30, 120))
    valkey.stop("immediate")
    valkey.start()
    GuestRequest.objects.filter(event=event).update(next_attempt_at=Now())
    faulty.start("worker", "sweeper")
    healed_at = time.time()
    storm = make_storm(20, rate=10)
    with storm:
        pause(1)
        # Everything has just been started: on a busy machine a second brings no answer yet.
        wait_for(storm.slowest, 20)
    pages.join(60)
    assert len(pages.ended_at) == size, f"{size - len(pages.ended_at)} pages never heard"
    last = max(pages.ended_at.values()) - healed_at
    assert last < WITH_SOCKET * 1.2 + 5, f"the last page heard after {last:.1f} s"
    conclude(
        storm,
        broken=f"The websocket process was killed under {size:,} open pages, and then Valkey, while"
        f" their tickets waited; {pages.by_socket:,} then heard by socket, the others by asking,"
        f" the last after {max(last, 0):.1f} s.",
        healed_at=healed_at,
    )
