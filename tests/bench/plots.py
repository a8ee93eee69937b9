"""The plots of docs/performance.md. The same figures always give the same files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.figures import Figures
from tests.bench.journey import STEPS
from tests.bench.tables import GROUPS, LOADS

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "snap"
mpl.rcParams["svg.fonttype"] = "none"

SIZES = ("1000", "100000", "1000000")


def draw(folder: Path, measured: Mapping[str, Figures]) -> dict[str, dict[str, str]]:
    """Draw the plots of the measured parts, and return files and titles by part."""
    drawn: dict[str, dict[str, str]] = {}
    for part, name, title, paint in PLOTS:
        if part not in measured:
            continue
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title)
        paint(axes, measured[part])
        figure.savefig(folder / name, format="svg", metadata={"Date": None, "Creator": None})
        drawn.setdefault(part, {})[name] = title
    return drawn


def _steps(axes: Axes, figures: Figures) -> None:
    there = [load for load in LOADS if f"{load}/rate" in figures]
    for at, load in enumerate(there):
        places = [number + at * 0.2 for number in range(len(STEPS))]
        heights = [figures.get(f"{load}/{step}/p95", 0.0) for step in STEPS]
        axes.bar(places, heights, width=0.2, label=LOADS[load])
    middle = (len(there) - 1) * 0.1
    axes.set_xticks([number + middle for number in range(len(STEPS))], STEPS)
    if any(figures.get(f"{load}/{step}/p95") for load in there for step in STEPS):
        axes.set_yscale("log")
    axes.set_ylabel("p95, ms")
    axes.legend()


def _cpu(axes: Axes, figures: Figures) -> None:
    there = [load for load in LOADS if f"{load}/rate" in figures]
    bottom = [0.0] * len(there)
    for group in GROUPS:
        heights = [figures.get(f"{load}/cpu/{group}", 0.0) for load in there]
        axes.bar([LOADS[load] for load in there], heights, bottom=bottom, label=group)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_ylabel("CPU ms a journey")
    axes.legend(bbox_to_anchor=(1.0, 1.0), loc="upper left")


def _growth(axes: Axes, figures: Figures) -> None:
    for step in ("page", "check", "create", "admin"):
        costs = {n: figures.get(f"guests/{n}/{step}/cpu") for n in SIZES}
        there = {int(n): cost for n, cost in costs.items() if cost}
        axes.plot(list(there), list(there.values()), marker="o", label=step)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("guests on the list")
    axes.set_ylabel("CPU ms")
    axes.legend()


def _memory(axes: Axes, figures: Figures) -> None:
    marks = [name.removesuffix("/journeys") for name in figures if name.endswith("/journeys")]
    marks.sort(key=lambda mark: figures[f"{mark}/journeys"])
    journeys = [figures[f"{mark}/journeys"] for mark in marks]
    for group in ("web", "ws", "worker", "emails", "sweeper"):
        axes.plot(journeys, [figures[f"{mark}/{group}"] for mark in marks], label=group)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("journeys")
    axes.set_ylabel("MiB resident")
    axes.legend()


PLOTS: list[tuple[str, str, str, Callable[[Axes, Figures], None]]] = [
    ("journeys", "performance-steps.svg", "Time of each step of a journey", _steps),
    ("journeys", "performance-cpu.svg", "CPU of a journey", _cpu),
    ("growth", "performance-growth.svg", "The cost of a step by length of the list", _growth),
    ("memory", "performance-memory.svg", "Memory by number of journeys", _memory),
]
