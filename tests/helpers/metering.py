"""Processes that count, and what all of them together have counted."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snap.local.processes import BASE_DIR
from snap.metering.collecting import collect

# Runs in a process of its own: `count` adds 1, `kind` is the process's name.
BEGIN = """
import os, sys
import snap.metering
from prometheus_client import Counter, Gauge, Histogram
from snap.metering import slots
seen = Counter("seen", "Seen", ["page"])
took = Histogram("took", "Took", buckets=(1, 10))
state = Gauge("state", "State", ["name"], multiprocess_mode="livemax")
"""


def environment(folder: Path, kind: str = "web") -> dict[str, str]:
    return {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "SNAP_PROCESS": kind}


def run(
    folder: Path, program: str, *, kind: str = "web", seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program after BEGIN. Return it once it has ended."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        cwd=BASE_DIR,
        env=environment(folder, kind),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@contextmanager
def living(folder: Path, program: str, kind: str = "web") -> Iterator[subprocess.Popen[str]]:
    """Run a program after BEGIN, and kill it at the end. It is ready when it prints a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN}{program}\nprint('ready', flush=True)\ninput()"],
        cwd=BASE_DIR,
        env=environment(folder, kind),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def values(name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a name over all processes, by the values of their labels."""
    found = {}
    for metric in collect():
        for sample in metric.samples:
            if sample.name == name:
                found[tuple(sample.labels.values())] = sample.value
    return found
