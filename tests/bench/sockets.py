"""Idle websockets: the memory of each, and the latency of a push."""

import asyncio
from dataclasses import replace
from time import perf_counter

from channels.layers import get_channel_layer
from django.conf import settings

from guests.models import Event, GuestRequest
from guests.qr.codes import image_url, make_token, pass_url
from guests.requests.tickets import Ticket, TicketState, ticket_of
from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, milliseconds, under
from tests.bench.people import make_accounts, make_waiting_requests, sessions_of
from tests.bench.stack import tree
from tests.bench.usage import CpuWindow, memory_mib, own_memory_kib
from tests.bench.wire import Socket, WireError

CROWDS = (1500, 5000)
PUSHES_A_SECOND = 300
SETTLE = 3.0
# Handshakes at the same time, fewer than the backlog of the server allows.
AT_ONCE = 50


def sockets(bench: Bench) -> Figures:
    """Open 1,500 and 5,000 sockets, measure their memory, and push a code to each, 300 a second."""
    figures: Figures = {}
    for size in CROWDS:
        bench.stack.restart("ws")
        event = open_event(f"sockets-{size}")
        figures |= under(str(size), _crowd(bench, event, bench.size(size)))
    return figures


def _crowd(bench: Bench, event: Event, size: int) -> Figures:
    accounts = make_accounts(size)
    tickets = make_waiting_requests(event, accounts)
    sessions = sessions_of(accounts)
    pending = GuestRequest.objects.filter(event=event).with_ticket_details()
    pushes = [_created(ticket_of(request)) for request in pending]
    holders = [(tickets[account], sessions[account]) for account in accounts]
    return asyncio.run(_measure(bench, holders, pushes))


def _created(ticket: Ticket) -> Ticket:
    """Return the ticket as it is pushed when there is a guest."""
    token = make_token()
    return replace(
        ticket,
        state=TicketState.CREATED,
        position=None,
        guest_id=1,
        qr_code_url=image_url(token),
        pass_url=pass_url(token),
    )


async def _measure(bench: Bench, holders: list[tuple[str, bytes]], pushes: list[Ticket]) -> Figures:
    ws = bench.stack.pids["ws"]
    await _warm_up(bench, holders[0])
    before, window = own_memory_kib(ws), CpuWindow({"ws": ws})
    gate = asyncio.Semaphore(AT_ONCE)
    opened = await asyncio.gather(*(_open(bench, gate, *one) for one in holders))
    connecting = window.close()["ws"]
    sockets = {ticket: socket for ticket, socket in opened if socket is not None}
    await asyncio.sleep(SETTLE)
    figures: Figures = {
        "open": len(sockets),
        "refused": len(holders) - len(sockets),
        "KiB a socket": (own_memory_kib(ws) - before) / max(len(sockets), 1),
        "ws MiB": memory_mib({"ws": ws})["ws"],
        "ws processes": len(tree(ws)),
        "connect a second": len(holders) / window.seconds,
        "connect cpu": connecting * 1000 / len(holders),
    }
    window = CpuWindow({"ws": ws})
    latencies, lost = await _push(sockets, [t for t in pushes if t.ticket_id in sockets])
    pushing = window.close()["ws"]
    for socket in sockets.values():
        socket.close()
    figures |= {"pushed": len(latencies), "lost": lost}
    figures["push cpu"] = pushing * 1000 / max(len(latencies), 1)
    # Without a push the goal counts as not measured.
    if latencies:
        figures |= under("push", milliseconds(latencies))
    return figures


async def _warm_up(bench: Bench, one: tuple[str, bytes]) -> None:
    """Open some sockets first, so the memory of the process without sockets is not counted."""
    for _ in range(20):
        _, socket = await _open(bench, asyncio.Semaphore(1), *one)
        if socket is not None:
            socket.close()


async def _open(
    bench: Bench, gate: asyncio.Semaphore, ticket: str, session: bytes
) -> tuple[str, Socket | None]:
    """Open the socket of a page and receive its first state."""
    cookies = f"{settings.SESSION_COOKIE_NAME}=".encode() + session
    url = f"ws://127.0.0.1:{bench.stack.ws_port}/ws/promo/{ticket}/"
    async with gate:
        try:
            socket = await Socket.open(url, origin=bench.stack.url.encode(), cookies=cookies)
            await socket.receive()
        except (WireError, OSError) as error:
            print(f"    {error}", flush=True)
            return ticket, None
    return ticket, socket


async def _push(sockets: dict[str, Socket], pushes: list[Ticket]) -> tuple[list[float], int]:
    """Push to each socket at a fixed rate, as workers do. Return the latencies and the lost pushes.

    A push is timed from the moment it was due, so a slow sender counts as well.
    """
    sent: dict[str, float] = {}
    latencies: list[float] = []

    async def listen(ticket: str, socket: Socket) -> None:
        while (text := await socket.receive()) is not None:
            if b'data-state="created"' in text:
                latencies.append(perf_counter() - sent[ticket])
                return  # The socket stays open: the place can be taken back.

    listeners = [asyncio.create_task(listen(*one)) for one in sockets.items()]
    layer = get_channel_layer()
    assert layer is not None
    began = perf_counter()
    for number, ticket in enumerate(pushes):
        due = began + number / PUSHES_A_SECOND
        if (early := due - perf_counter()) > 0:
            await asyncio.sleep(early)
        sent[ticket.ticket_id] = due
        await layer.group_send(ticket.group, ticket.as_message())
    done, late = await asyncio.wait(listeners, timeout=10)
    for listener in late:
        listener.cancel()
    for listener in done:
        if error := listener.exception():
            print(f"    {error}", flush=True)
    return latencies, len(pushes) - len(latencies)
