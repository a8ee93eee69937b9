"""Figures: a flat table of names and numbers, which is what a run of a part gives."""

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import median

Figures = dict[str, float]

PERCENTILES = (50, 95, 99)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def milliseconds(values: Sequence[float]) -> Figures:
    """Return the percentiles of seconds, in milliseconds, as `p50`, `p95` and `p99`."""
    return {f"p{percent}": percentile(values, percent) * 1000 for percent in PERCENTILES}


def under(name: str, figures: Mapping[str, float]) -> Figures:
    """Return figures with a name before each of theirs."""
    return {f"{name}/{key}": value for key, value in figures.items()}


def cpu_per(count: float, used: Mapping[str, float]) -> Figures:
    """Return CPU milliseconds by group for each of `count` things done."""
    return under("cpu", {name: seconds * 1000 / max(count, 1) for name, seconds in used.items()})


def medians(runs: Sequence[Mapping[str, float]]) -> Figures:
    """Return the median of each figure over the runs that have it."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: median([run[name] for run in runs if name in run]) for name in names}
