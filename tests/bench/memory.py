"""Resident memory of each group of processes after 10,000 and after 100,000 journeys."""

import asyncio
from time import monotonic

from guests.models import Event
from tests.bench.bench import Bench, open_event
from tests.bench.figures import Figures, under
from tests.bench.journey import Times, closed_loop
from tests.bench.usage import memory_mib

USERS = 64
FEW, TIMES_AS_MANY, LOOKS = 10_000, 10, 20
# Seconds between two checks of the number of journeys.
INTERVAL = 0.5
# Maximum seconds of the measurement.
LIMIT = 3600.0


def memory(bench: Bench) -> Figures:
    """Go 100,000 journeys. Measure memory after 10,000, after all, and in between for the plot."""
    return asyncio.run(_measure(bench, open_event("memory")))


async def _measure(bench: Bench, event: Event) -> Figures:
    few = bench.size(FEW) if not bench.quick else 10
    many = few * TIMES_AS_MANY
    times, over = Times(), asyncio.Event()
    loop = asyncio.create_task(closed_loop(lambda: bench.journey(event), USERS, times, over))
    figures: Figures = {"few": few, "many": many}
    marks = {many * look // LOOKS: f"at/{look}" for look in range(1, LOOKS)}
    marks |= {few: "few", many: "many"}
    until = monotonic() + LIMIT
    for mark in sorted(marks):
        while times.journeys < mark and monotonic() < until and not loop.done():
            await asyncio.sleep(INTERVAL)
        used = await asyncio.to_thread(memory_mib, bench.stack.pids)
        figures |= under(marks[mark], used | {"journeys": times.journeys})
    over.set()
    await loop
    return figures | {"errors": len(times.errors)}
