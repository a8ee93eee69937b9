"""Runs the parts of the bench over a running stack, and keeps their figures."""

import argparse
import os
import time
from collections.abc import Callable

from tests.bench import (
    attack_table,
    attacks,
    calls,
    creation,
    emails,
    growth,
    journeys,
    memory,
    metrics,
    peak,
    report,
    sockets,
)
from tests.bench.bench import Bench
from tests.bench.figures import Figures
from tests.bench.journey import JourneyError
from tests.bench.stack import ProductionStack
from tests.bench.usage import python_ms
from tests.bench.wire import WireError

PARTS: dict[str, Callable[[Bench], Figures]] = {
    "journeys": journeys.journeys,
    "saturated": journeys.saturated,
    "arrivals": journeys.arrivals,
    "calls": calls.calls,
    "peak": peak.peak,
    "creation": creation.creation,
    "emails": emails.emails,
    "sockets": sockets.sockets,
    "growth": growth.growth,
    "attacks": attacks.attacks,
    "metrics": metrics.metrics,
    "memory": memory.memory,
}


def run(stack: ProductionStack, options: argparse.Namespace) -> bool:
    """Measure, and keep the figures after each part. Return whether parts and audit succeeded."""
    bench, all_measured = Bench(stack, options.seconds, options.quick), True
    for number in range(options.runs):
        for part in options.parts:
            print(f"{part} (run {number + 1} of {options.runs})", flush=True)
            bench.settle()
            load, speed, began = os.getloadavg()[0], python_ms(), time.monotonic()
            try:
                figures = PARTS[part](bench)
            except (JourneyError, WireError) as error:
                print(f"    FAILED, not kept: {error}", flush=True)
                all_measured = False
                continue
            for name, value in figures.items():
                print(f"    {name} = {value:,.2f}")
            print(f"    took {time.monotonic() - began:.0f} s", flush=True)
            if not options.quick:
                again = options.add or number > 0
                measured = report.describe_run(figures, options.seconds, load, speed)
                if part == "attacks":
                    attack_table.keep(options.out, measured, is_before=options.as_before)
                else:
                    report.keep(options.out, part, measured, again=again)
    good, output = stack.audit()
    print(f"audit: {output.splitlines()[-1] if output else 'no output'}")
    if not options.quick and set(options.parts) - {"attacks"}:
        report.write(options.out)
    return good and all_measured
