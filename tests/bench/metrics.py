"""What metrics cost: to count a request, a step, a cache or a batch, and to show /metrics."""

import json
import logging
import subprocess
import sys
import time

import httpx

from snap.local.processes import BASE_DIR
from snap.observability.metrics import SHOWN_SECONDS
from tests.bench.bench import Bench
from tests.bench.figures import Figures, under
from tests.bench.usage import cpu_seconds

# httpx logs a line for every request.
logging.getLogger("httpx").setLevel(logging.WARNING)

TIMES = 20_000
SCRAPES = 20


def metrics(bench: Bench) -> Figures:
    """Measure CPU: microseconds of each count, milliseconds of a response of /metrics."""
    return under("us", count_alone(bench)) | scrape(bench)


def count_alone(bench: Bench) -> Figures:
    folder = bench.stack.folder / "counting"
    command = [sys.executable, "-m", "tests.bench.counting", str(folder), str(bench.size(TIMES))]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=bench.stack.env, check=True, stdout=subprocess.PIPE, text=True
    )
    measured: Figures = json.loads(done.stdout)
    return measured


def scrape(bench: Bench) -> Figures:
    """Ask for /metrics again and again, each time after the cached text has expired."""
    scrapes = bench.size(SCRAPES)
    web = {"web": bench.stack.pids["web"]}
    before, size = cpu_seconds(web)["web"], 0
    for _ in range(scrapes):
        time.sleep(SHOWN_SECONDS * 1.1)
        size = len(httpx.get(f"{bench.stack.url}/metrics").raise_for_status().content)
    used = cpu_seconds(web)["web"] - before
    return {"scrape ms": used / scrapes * 1000, "scrape bytes": size}
