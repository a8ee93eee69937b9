"""The geometry of the dashboard's plots. Templates draw them as SVG, with a table behind each."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from django.utils.formats import date_format

# The units of the drawings. A phone shows about one unit as one pixel, so texts stay readable.
WIDTH = 340
HEIGHT = 150
LEFT, RIGHT, TOP, BOTTOM = 42, 6, 10, 20
INNER_WIDTH = WIDTH - LEFT - RIGHT
INNER_HEIGHT = HEIGHT - TOP - BOTTOM
FLOOR = HEIGHT - BOTTOM

PACE_MINUTES = 60
# The longest row of points that a curve and its table have.
MAX_POINTS = 60
# Minutes between two points of a curve.
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440, 2880, 10080)

LINE_HEIGHT = 34
BAR_HEIGHT = 9
MAX_LINES = 12


@dataclass(frozen=True)
class Tick:
    """A label of an axis, at a position along it."""

    position: float
    text: str


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    size: int


@dataclass(frozen=True)
class Pace:
    """Requests by minute in the last hour, the latest last."""

    bars: list[Bar]
    top: int
    ticks: list[Tick]
    total: int
    busiest: Bar | None

    @property
    def rows(self) -> list[Bar]:
        """Return the minutes that had requests, the latest first."""
        return [bar for bar in reversed(self.bars) if bar.size]


@dataclass(frozen=True)
class Point:
    label: str
    size: int


@dataclass(frozen=True)
class Curve:
    """How a list has filled, against its capacity. `line` and `area` are paths of SVG."""

    line: str
    area: str
    points: list[Point]
    # The height of the capacity's line.
    capacity_y: float
    capacity: int
    ticks: list[Tick]

    @property
    def latest_first(self) -> list[Point]:
        return self.points[::-1]


@dataclass(frozen=True)
class Line:
    """A promoter: a bar of those on the list, and beyond it those who wait."""

    name: str
    on_list: int
    waiting: int
    requests: int
    checked_in: int
    text_y: float
    bar_y: float
    width: float
    waiting_width: float


@dataclass(frozen=True)
class Ranking:
    """Promoters, those with the most guests first. The drawing has the first MAX_LINES of them."""

    lines: list[Line]
    height: float

    @property
    def drawn(self) -> list[Line]:
        return self.lines[:MAX_LINES]

    @property
    def others(self) -> int:
        return max(0, len(self.lines) - MAX_LINES)


def minute_of(time: datetime) -> int:
    """Return the minutes since 1970, as counts have them."""
    return int(time.timestamp() // 60)


def label_of(minute: int, zone: tzinfo, *, with_day: bool = False, with_zone: bool = False) -> str:
    local = _local(minute, zone)
    label = f"{local:%H:%M}"
    if with_day:
        day = date_format(local, "j M")
        label = f"{day} {label}"
    if with_zone:
        label = f"{label} {local:%Z}"
    return label


def has_clock_change(first: int, last: int, zone: tzinfo) -> bool:
    """Return whether the clocks change between two minutes. Then labels name the zone."""
    return _local(first, zone).utcoffset() != _local(last, zone).utcoffset()


def _local(minute: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC).astimezone(zone)


def round_up(size: int) -> int:
    """Return the end of an axis for a largest value: 1, 2 or 5 times a power of ten, or between."""
    step = 1
    while step * 10 < size:
        step *= 10
    for factor in (1, 2, 3, 4, 5, 6, 8, 10):
        if step * factor >= size:
            return step * factor
    return step * 10


def draw_pace(minutes: Mapping[int, int], now: datetime, zone: tzinfo) -> Pace:
    """Draw the requests of the last hour, a bar for each minute."""
    last = minute_of(now)
    first = last - PACE_MINUTES + 1
    sizes = [max(0, minutes.get(minute, 0)) for minute in range(first, last + 1)]
    top = round_up(max([1, *sizes]))
    width = INNER_WIDTH / PACE_MINUTES
    with_zone = has_clock_change(first, last, zone)
    bars = []
    for number, size in enumerate(sizes):
        height = round(INNER_HEIGHT * size / top, 1)
        x = round(LEFT + number * width, 1)
        label = label_of(first + number, zone, with_zone=with_zone)
        bars.append(Bar(x, round(FLOOR - height, 1), round(width - 0.8, 1), height, label, size))
    busiest = max(bars, key=lambda bar: bar.size)
    ticks = [Tick(bars[number].x, bars[number].label) for number in (0, 20, 40)]
    return Pace(bars, top, ticks, sum(sizes), busiest if busiest.size else None)


def draw_curve(minutes: Mapping[int, int], capacity: int, now: datetime, zone: tzinfo) -> Curve:
    """Draw how many guests had a place at each time, of those who have one now."""
    last = minute_of(now)
    first = min([*(minute for minute, size in minutes.items() if size), last - 1])
    step = _step_for(last - first)
    first -= first % step
    ends = [*list(range(first, last, step))[-MAX_POINTS:], last]
    sizes = _running_totals(minutes, ends)
    top = max([1, capacity, *sizes])
    with_day = last - first >= 24 * 60
    with_zone = has_clock_change(first, last, zone)
    points, steps = [], []
    for end, size in zip(ends, sizes, strict=True):
        label = label_of(end, zone, with_day=with_day, with_zone=with_zone)
        points.append(Point(label, size))
        x = round(LEFT + INNER_WIDTH * (end - ends[0]) / max(1, last - ends[0]), 1)
        steps.append((x, round(FLOOR - INNER_HEIGHT * size / top, 1)))
    line = "L".join(f"{x} {y}" for x, y in steps)
    area = f"M{LEFT} {FLOOR}L{line}L{steps[-1][0]} {FLOOR}Z"
    capacity_y = round(FLOOR - INNER_HEIGHT * capacity / top, 1)
    ticks = [Tick(LEFT, points[0].label), Tick(WIDTH - RIGHT, points[-1].label)]
    return Curve(f"M{line}", area, points, capacity_y, capacity, ticks)


def _step_for(minutes: int) -> int:
    for step in STEPS:
        if minutes / step <= MAX_POINTS - 2:
            return step
    return STEPS[-1]


def _running_totals(minutes: Mapping[int, int], ends: list[int]) -> list[int]:
    """Return the sum of all minutes up to each of the ends, which are in order."""
    sums = [0] * len(ends)
    total = 0
    known = sorted(minutes)
    running = []
    for minute in known:
        total += minutes[minute]
        running.append(total)
    for number, end in enumerate(ends):
        position = bisect_right(known, end)
        if position:
            sums[number] = max(0, running[position - 1])
    return sums


def draw_ranking(promoters: Sequence[tuple[str, Mapping[str, int]]]) -> Ranking:
    """Draw a bar for each promoter that anybody came through."""
    known = [(name, sizes) for name, sizes in promoters if any(sizes.values())]
    known.sort(key=lambda each: (-each[1].get("on_list", 0), -each[1].get("waiting", 0), each[0]))
    widest = 1
    for _name, sizes in known:
        widest = max(widest, sizes.get("on_list", 0) + sizes.get("waiting", 0))
    lines = []
    for number, (name, sizes) in enumerate(known):
        on_list, waiting = max(0, sizes.get("on_list", 0)), max(0, sizes.get("waiting", 0))
        lines.append(
            Line(
                name=name,
                on_list=on_list,
                waiting=waiting,
                requests=sizes.get("requests", 0),
                checked_in=sizes.get("checked_in", 0),
                text_y=number * LINE_HEIGHT + 13,
                bar_y=number * LINE_HEIGHT + 18,
                width=round(WIDTH * on_list / widest, 1),
                waiting_width=round(WIDTH * waiting / widest, 1),
            )
        )
    return Ranking(lines, min(len(lines), MAX_LINES) * LINE_HEIGHT)
