"""What a panel of Grafana is, and expressions of Prometheus for panels.

Counts of rows, such as the depth of a queue, are the same from every host, so the largest counts.
What a host counts itself is added up. `$host` is one host, or all.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
RATE = "[$__rate_interval]"
# Requests of supervisors and of files say nothing about visitors.
VISITORS = 'instance=~"$host", route!~"/healthz|/readyz|/metrics|static"'
HOST = 'instance=~"$host"'


class Kind(Enum):
    """Grafana's kinds of panels, as far as this dashboard has them."""

    NUMBER = "stat"
    PLOT = "timeseries"
    BARS = "bargauge"
    STATES = "state-timeline"
    TABLE = "table"


@dataclass(frozen=True)
class Panel:
    """A panel. `queries` are pairs of an expression and the legend of its series.

    Values have the colour `base`, and from each value of `thresholds` on the colour there. `words`
    name values: value, text, colour.
    """

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: Kind = Kind.PLOT
    width: int = 8
    height: int = 7
    least: float | None = 0
    decimals: int | None = None
    base: str = GREEN
    thresholds: tuple[tuple[float, str], ...] = ()
    words: tuple[tuple[int, str, str], ...] = ()
    is_stacked: bool = False


def percentile(share: float, metric: str, by: str = "", match: str = HOST) -> str:
    """Return the expression of a percentile of a histogram, for all or by a label."""
    labels = "le"
    if by:
        labels = f"le, {by}"
    rate = f"rate({metric}_bucket{{{match}}}{RATE})"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate}))"


def percentiles(metric: str, match: str = HOST) -> tuple[tuple[str, str], ...]:
    return (
        (percentile(0.5, metric, match=match), "half of them"),
        (percentile(0.95, metric, match=match), "95 %"),
        (percentile(0.99, metric, match=match), "99 %"),
    )


def rate(metric: str, by: str = "", match: str = HOST) -> str:
    """Return the expression of events per second, for all or by a label."""
    return f"{_sum(by)} (rate({metric}{{{match}}}{RATE}))"


def per_minute(metric: str, by: str = "", match: str = HOST) -> str:
    return f"60 * {rate(metric, by, match)}"


def in_range(metric: str, by: str, match: str = HOST) -> str:
    """Return the expression of how often something happened in the time that is shown."""
    return f"{_sum(by)} (increase({metric}{{{match}}}[$__range]))"


def gauge(metric: str, by: str = "", how: str = "max") -> str:
    grouping = ""
    if by:
        grouping = f" by ({by})"
    return f"{how}{grouping} ({metric}{{{HOST}}})"


def _sum(by: str) -> str:
    if by:
        return f"sum by ({by})"
    return "sum"


def number(title: str, description: str, unit: str, query: str, **more: object) -> Panel:
    """Return a panel of one figure in its colour."""
    fields: dict[str, Any] = {"width": 4, "height": 4, **more}
    return Panel(title, description, unit, ((query, ""),), Kind.NUMBER, **fields)
