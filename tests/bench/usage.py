"""CPU seconds and memory of groups of processes, with children that have ended."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress

import psutil

from tests.bench.stack import tree

GENERATOR = "generator"
YARDSTICK = {
    "names": ["Rita Exemplo"] * 20,
    "numbers": list(range(50)),
    "nested": {"a": [1.5] * 20},
}


def python_ms() -> float:
    """Return the CPU milliseconds of a fixed piece of Python, the median of nine runs."""
    taken = []
    for _ in range(9):
        began = time.process_time()
        for _ in range(500):
            json.loads(json.dumps(YARDSTICK, indent=1))
        taken.append((time.process_time() - began) * 1000)
    return sorted(taken)[4]


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds of each group, and of this process as `generator`.

    The parent's count has the CPU of children that have ended.
    """
    used = {name: sum(_cpu_of(process) for process in tree(pid)) for name, pid in pids.items()}
    return used | {GENERATOR: time.process_time()}


def _cpu_of(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(sum(process.cpu_times()[:4]))
    return 0.0


class CpuWindow:
    """CPU seconds by group between two moments, and the CPU of all other processes."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._began, self._busy = time.monotonic(), _machine_busy()
        self._used = cpu_seconds(pids)

    def close(self) -> dict[str, float]:
        """Return CPU seconds by group. `other` is everything else on the machine."""
        after = cpu_seconds(self._pids)
        used = {name: max(0.0, after[name] - self._used.get(name, 0.0)) for name in after}
        self.seconds = time.monotonic() - self._began
        other = _machine_busy() - self._busy - sum(used.values())
        return used | {"other": max(0.0, other)}


def _machine_busy() -> float:
    """Return the busy seconds of all cores, the kernel included."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def memory_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the resident memory of each group in MiB, the sum of its processes."""
    return {name: sum(_rss_of(process) for process in tree(pid)) for name, pid in pids.items()}


def own_memory_kib(pid: int) -> float:
    """Return the memory of a group that it does not share, in KiB."""
    total = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().uss / 1024
    return total


def _rss_of(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_info().rss) / 2**20
    return 0.0
