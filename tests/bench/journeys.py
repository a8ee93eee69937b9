"""Whole journeys: closed loops of many users, half load, and 1,500 people who arrive at once."""

import asyncio

from guests.models import Event
from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, cpu_per, milliseconds, under
from tests.bench.journey import Pauses, Times, closed_loop, open_loop
from tests.bench.usage import CpuWindow

WARM_UP = 5.0
# Seconds to read a page or to type: 1,500 people with these pauses start 125 journeys a second.
# Without pauses 1,500 users only show how long a queue gets.
PEOPLE = Pauses(2.0, 6.0)
# The goal of the product: 1,500 people at the same time, who go 1,500 journeys a minute.
A_MINUTE_EACH = Pauses(10.0, 30.0)
CROWDS = {
    "64": (64, Pauses()),
    "256": (256, Pauses()),
    "1500": (1500, PEOPLE),
    "1500 calm": (1500, A_MINUTE_EACH),
}
ARRIVALS, ARRIVE_WITHIN = 1500, 30.0


def journeys(bench: Bench) -> Figures:
    """Run closed loops of 64, 256 and twice 1,500 users, and an open loop at half load."""
    event = open_event("journeys")
    figures: Figures = {}
    for name, (users, pauses) in CROWDS.items():
        if bench.quick:
            users, pauses = bench.size(users), Pauses()
        figures |= under(name, asyncio.run(_closed(bench, event, users, pauses)))
        figures |= under(name, bench.settle())
    rate = figures["64/rate"] / 2
    figures |= under("half", asyncio.run(_open(bench, event, rate, bench.seconds)))
    return figures | under("half", bench.settle())


def saturated(bench: Bench) -> Figures:
    """Run a closed loop of 1,500 users who never pause, more than the machine can serve at once."""
    event = open_event("saturated")
    figures = under("1500", asyncio.run(_closed(bench, event, bench.size(1500), Pauses())))
    return figures | under("1500", bench.settle())


def arrivals(bench: Bench) -> Figures:
    """Let 1,500 people arrive within 30 s. Each goes one journey, and all must be served."""
    event = open_event("arrivals")
    people, seconds = bench.size(ARRIVALS), 2.0 if bench.quick else ARRIVE_WITHIN
    figures = asyncio.run(
        _open(bench, event, people / seconds, seconds, Pauses() if bench.quick else PEOPLE)
    )
    return figures | bench.settle()


async def _closed(bench: Bench, event: Event, users: int, pauses: Pauses) -> Figures:
    times, over = Times(is_open=False), asyncio.Event()
    loop = asyncio.create_task(
        closed_loop(lambda: bench.journey(event, pauses), users, times, over)
    )
    await asyncio.sleep(1.0 if bench.quick else WARM_UP + pauses.a_journey)
    window, times.is_open = CpuWindow(bench.stack.pids), True
    await asyncio.sleep(bench.seconds)
    times.is_open = False
    used = window.close()
    over.set()
    await loop
    return {"users": users} | _figures(times, used, window.seconds)


async def _open(
    bench: Bench,
    event: Event,
    rate: float,
    seconds: float,
    pauses: Pauses = Pauses(),  # noqa: B008 (Pauses is immutable)
) -> Figures:
    times, window = Times(), CpuWindow(bench.stack.pids)
    came = await open_loop(lambda: bench.journey(event, pauses), rate, seconds, times)
    used = window.close()
    served = times.journeys / max(came, 1) * 100
    figures = {"came": came, "offered": rate, "served_percent": served}
    return figures | _figures(times, used, window.seconds)


def _figures(times: Times, used: dict[str, float], seconds: float) -> Figures:
    for error in sorted(set(times.errors))[:5]:
        print(f"    {times.errors.count(error)} × {error}", flush=True)
    figures: Figures = {
        "journeys": times.journeys,
        "rate": times.journeys / seconds,
        "errors": len(times.errors),
        "seconds": seconds,
    }
    for step, taken in times.steps.items():
        figures |= under(step, milliseconds(taken))
    return figures | cpu_per(times.journeys, used)
