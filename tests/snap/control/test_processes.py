"""Each process of SNAP follows the switches: seen in the metrics that each one writes."""

import os
import signal
from pathlib import Path
from time import monotonic

import psutil
import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from waffle.models import Switch

from tests.helpers.stack import Stack, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.slow]

# Two processes of web, ws, four children of worker, emails, sweeper.
PROCESSES = 9


def values(stack: Stack, switch: str) -> dict[str, float]:
    """Return what each process has written about a switch, by the file of the process."""
    found = {}
    for path in Path(stack.env["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_livemostrecent_*.db"):
        for metric in MultiProcessCollector.merge([str(path)]):  # type: ignore[no-untyped-call]
            for sample in metric.samples:
                if metric.name == "switch_on" and sample.labels["switch"] == switch:
                    found[path.name] = sample.value
    return found


def seconds_until_all_follow(stack: Stack, *, active: bool) -> float:
    before = dict(values(stack, "batching"))
    assert len(before) >= PROCESSES
    Switch.objects.update_or_create(name="batching", defaults={"active": active})
    began = monotonic()
    wait_for(lambda: set(values(stack, "batching").values()) == {float(active)})
    return monotonic() - began


def test_every_process_follows_a_switch(stack: Stack) -> None:
    wait_for(lambda: len(values(stack, "batching")) >= PROCESSES)
    for active in (False, True):
        took = seconds_until_all_follow(stack, active=active)
        print(f"all processes followed in {took:.2f} s")


def test_a_new_child_of_the_worker_follows(stack: Stack) -> None:
    Switch.objects.update_or_create(name="batching", defaults={"active": False})
    parent = psutil.Process(stack.pid("worker"))
    children = [each for each in parent.children(recursive=True) if not each.children()]
    known = set(values(stack, "batching"))
    os.kill(children[0].pid, signal.SIGKILL)

    def new_files() -> list[float]:
        now = values(stack, "batching")
        return [now[name] for name in set(now) - known]

    assert wait_for(new_files) == [0.0]
