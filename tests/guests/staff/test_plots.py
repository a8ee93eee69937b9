"""The geometry of the dashboard's plots."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from guests.staff import plots
from guests.staff.plots import draw_curve, draw_pace, draw_ranking, minute_of, round_up

NOW = datetime(2030, 6, 1, 21, 30, 40, tzinfo=UTC)
MINUTE = minute_of(NOW)


def test_the_pace_has_a_bar_for_each_minute_of_the_last_hour() -> None:
    pace = draw_pace({MINUTE: 3, MINUTE - 59: 1, MINUTE - 60: 100, MINUTE + 1: 50}, NOW, UTC)
    assert [bar.size for bar in pace.bars] == [1, *[0] * 58, 3]
    assert (pace.bars[0].label, pace.bars[-1].label) == ("20:31", "21:30")
    assert pace.total == 4
    assert pace.busiest == pace.bars[-1]
    assert [row.size for row in pace.rows] == [3, 1]
    assert pace.bars[-1].height == plots.INNER_HEIGHT


def test_an_hour_without_requests_has_no_bars() -> None:
    pace = draw_pace({}, NOW, UTC)
    assert (pace.total, pace.busiest, pace.rows) == (0, None, [])


def test_the_curve_ends_with_all_who_are_on_the_list() -> None:
    curve = draw_curve({MINUTE - 30: 10, MINUTE - 10: 5, MINUTE: 2}, 40, NOW, UTC)
    assert (curve.points[0].label, curve.points[0].size) == ("21:00", 10)
    assert curve.points[-1].size == 17
    assert curve.latest_first[0].label == "21:30"
    assert curve.capacity_y == plots.TOP
    assert [point.size for point in curve.points] == sorted(point.size for point in curve.points)


@pytest.mark.parametrize("minutes", [1, 59, 200, 24 * 60, 30 * 24 * 60])
def test_a_curve_has_few_points_however_long_the_list_is_open(minutes: int) -> None:
    sizes = dict.fromkeys(range(MINUTE - minutes, MINUTE + 1), 1)
    curve = draw_curve(sizes, 10, NOW, UTC)
    assert 2 <= len(curve.points) <= plots.MAX_POINTS + 1
    assert curve.points[-1].size == minutes + 1
    assert (" " in curve.points[0].label) == (minutes >= 24 * 60)
    for x, y in coordinates(curve.line):
        assert plots.LEFT <= x <= plots.WIDTH - plots.RIGHT
        assert plots.TOP <= y <= plots.FLOOR


def test_labels_name_the_zone_on_the_night_in_which_clocks_change() -> None:
    lisbon = ZoneInfo("Europe/Lisbon")
    back = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    now = back + timedelta(minutes=29)
    pace = draw_pace({minute_of(now): 1}, now, lisbon)
    assert [pace.bars[number].label for number in (0, 29, 30, 59)] == [
        "01:30 WEST",
        "01:59 WEST",
        "01:00 WET",
        "01:29 WET",
    ]
    curve = draw_curve({minute_of(back) - 120: 1}, 10, now, lisbon)
    labels = [point.label for point in curve.points]
    assert len(set(labels)) == len(labels)
    assert "WE" not in draw_pace({}, back + timedelta(hours=2), lisbon).bars[0].label


def coordinates(path: str) -> list[tuple[float, float]]:
    points = []
    for point in path.removeprefix("M").split("L"):
        x, y = point.split()
        points.append((float(x), float(y)))
    return points


@pytest.mark.parametrize("capacity", [0, 1])
def test_an_empty_list_is_drawn(capacity: int) -> None:
    curve = draw_curve({}, capacity, NOW, UTC)
    assert [point.size for point in curve.points] == [0, 0]


def test_promoters_are_in_the_order_of_their_guests() -> None:
    ranking = draw_ranking(
        [
            ("Ana", {"on_list": 1, "requests": 5}),
            ("Bia", {"on_list": 4, "waiting": 4, "requests": 9}),
            ("Nobody", {"on_list": 0}),
            ("Rui", {"on_list": 1, "waiting": 1}),
        ]
    )
    assert [line.name for line in ranking.lines] == ["Bia", "Rui", "Ana"]
    first = ranking.lines[0]
    assert (first.width, first.waiting_width) == (plots.WIDTH / 2, plots.WIDTH / 2)


def test_many_promoters_are_in_the_table_and_the_first_in_the_drawing() -> None:
    many = [(f"Promotora {number:02}", {"on_list": 100 - number}) for number in range(30)]
    ranking = draw_ranking(many)
    assert len(ranking.lines) == 30
    assert len(ranking.drawn) == plots.MAX_LINES
    assert ranking.others == 30 - plots.MAX_LINES
    assert ranking.height == plots.MAX_LINES * plots.LINE_HEIGHT


@pytest.mark.parametrize(
    ("size", "top"), [(1, 1), (2, 2), (7, 8), (10, 10), (11, 20), (47, 50), (101, 200), (950, 1000)]
)
def test_an_axis_ends_at_a_round_number(size: int, top: int) -> None:
    assert round_up(size) == top
