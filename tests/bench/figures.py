"""Figures: the numbers that a part of the bench returns, by name."""

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import median

Figures = dict[str, float]

PERCENTILES = (50, 95, 99)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all values do not exceed, 0 without values."""
    if not values:
        return 0.0
    index = max(0, ceil(len(values) * percent / 100) - 1)
    return sorted(values)[index]


def milliseconds(values: Sequence[float]) -> Figures:
    """Return the percentiles of seconds, in milliseconds, as `p50`, `p95` and `p99`."""
    return {f"p{percent}": percentile(values, percent) * 1000 for percent in PERCENTILES}


def under(name: str, figures: Mapping[str, float]) -> Figures:
    """Return figures with a prefix before each name."""
    return {f"{name}/{key}": value for key, value in figures.items()}


def cpu_per(count: float, used: Mapping[str, float]) -> Figures:
    """Return CPU milliseconds by group, divided by `count`."""
    return under("cpu", {name: seconds * 1000 / max(count, 1) for name, seconds in used.items()})


def medians(runs: Sequence[Mapping[str, float]]) -> Figures:
    """Return the median of each figure over the runs that have it."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.items():
            values.setdefault(name, []).append(value)
    return {name: median(of_runs) for name, of_runs in values.items()}
